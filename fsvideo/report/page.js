"use strict";

// Sliders between before and after, each by itself, and one for all.
const sliders = [...document.querySelectorAll(".pair input")];
const show = (slider) => slider.closest(".pair").style.setProperty("--at", slider.value + "%");
for (const slider of sliders) {
  slider.addEventListener("input", () => show(slider));
  show(slider);
}
const all = document.querySelector(".all input");
all?.addEventListener("input", () => {
  for (const slider of sliders) {
    slider.value = all.value;
    show(slider);
  }
});

// What the lines of a plot say at the pointer.
for (const area of document.querySelectorAll(".plot svg.area")) {
  const low = +area.dataset.low, high = +area.dataset.high, begin = +area.dataset.begin, span = +area.dataset.span;
  const cursor = area.querySelector(".cursor"), said = area.closest(".plot").querySelector("output");
  let lines;
  const points = () => [...area.querySelectorAll("path.line")].map((path) => {
    const pairs = path.getAttribute("d").matchAll(/[ML]([-\d.]+),([-\d.]+)/g);
    return [path.dataset.name, [...pairs].map((pair) => [+pair[1] / 1000, high - (+pair[2] / 100) * (high - low)])];
  });
  area.addEventListener("pointermove", (event) => {
    lines ??= points();
    const box = area.getBoundingClientRect();
    const at = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const words = [];
    for (const [name, values] of lines) {
      let near = values[0];
      for (const value of values) if (Math.abs(value[0] - at) < Math.abs(near[0] - at)) near = value;
      const apart = values.length > 1 ? (values.at(-1)[0] - values[0][0]) / (values.length - 1) : 0;
      if (near && Math.abs(near[0] - at) < Math.max(0.01, 0.6 * apart)) words.push(`${name} ${+near[1].toPrecision(3)}`);
    }
    cursor.setAttribute("x1", 100 * at + "%");
    cursor.setAttribute("x2", 100 * at + "%");
    cursor.style.visibility = "visible";
    said.textContent = `${(begin + at * span).toFixed(2)} s: ${words.join(", ") || "nobody swapped"}`;
  });
  area.addEventListener("pointerleave", () => {
    cursor.style.visibility = "hidden";
    said.textContent = "";
  });
}
