"""Make weights/identity_dlib.safetensors from dlib's own file, or write a measured mean into it.

    python tools/convert_identity.py --dat dlib_face_recognition_resnet_model_v1.dat
    python tools/convert_identity.py --mean mean.npy          (128 floats: the mean of IdentityEncoder.raw)

The .dat is dlib's serialisation of the network from the input to the output: every layer writes its version as a
string, then its parameters. Only three kinds of layer carry parameters, and each puts them in one tensor.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import torch

from fsvideo import weights
from fsvideo.models.identity import CHIP, EMBEDDING, DlibFace, IdentityEncoder
from fsvideo.types import Array

_LAYER = re.compile(rb"\x01\x05con_4|\x01\x07affine_|\x01\x04fc_2")
_TARGET = Path(__file__).resolve().parents[1] / "weights" / "identity_dlib.safetensors"


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """dlib's integer: a byte that holds the length (low bits) and the sign (top bit), then little-endian bytes."""
    end = at + 1 + (data[at] & 15)
    value = int.from_bytes(data[at + 1 : end], "little")
    return (-value if data[at] & 128 else value), end


def _tensor(data: bytes, at: int) -> tuple[Array, int]:
    """dlib's tensor: version 2, four sizes, then little-endian floats."""
    version, at = _integer(data, at)
    if version != 2:
        raise ValueError(f"tensor of version {version} at byte {at}; this reads version 2")
    sizes = []
    for _ in range(4):
        size, at = _integer(data, at)
        sizes.append(size)
    count = int(np.prod(sizes))
    return np.frombuffer(data, "<f4", count, at), at + 4 * count


def read_parameters(data: bytes) -> list[tuple[str, Array]]:
    """(kind of layer, its parameters, flat) in the order of the forward pass; kind is con, affine or fc."""
    layers, at = [], 0
    while match := _LAYER.search(data, at):
        kind, at = match.group()[2:].split(b"_")[0].decode(), match.end()
        if kind == "fc":  # states outputs and inputs first
            at = _integer(data, _integer(data, at)[1])[1]
        values, at = _tensor(data, at)
        layers.append((kind, values))
    return layers


def convert(data: bytes) -> dict[str, torch.Tensor]:
    """The state dict of an IdentityEncoder, fp32, with its affine layers folded into the convolutions; zero mean."""
    net = DlibFace()
    layers = iter(read_parameters(data))

    def take(kind: str) -> torch.Tensor:
        found, values = next(layers)
        if found != kind:
            raise ValueError(f"expected a layer of kind {kind}, found {found}")
        return torch.from_numpy(values.copy()).double()

    for conv in (module for module in net.modules() if isinstance(module, torch.nn.Conv2d)):
        assert conv.bias is not None
        parameters, affine = take("con"), take("affine")
        weight, bias = parameters[: conv.weight.numel()], parameters[conv.weight.numel() :]
        gamma, beta = affine[: conv.out_channels], affine[conv.out_channels :]
        conv.weight.data = (weight.view_as(conv.weight) * gamma.view(-1, 1, 1, 1)).float()
        conv.bias.data = (bias * gamma + beta).float()
    net.fc.weight.data = take("fc").view(net.fc.in_features, net.fc.out_features).T.float().contiguous()
    if next(layers, None) is not None:
        raise ValueError("more layers than the network has")
    return {f"net.{name}": tensor for name, tensor in net.state_dict().items()} | {"mean": torch.zeros(EMBEDDING)}


def _metadata(origin_sha256: str) -> dict[str, str]:
    config = {"chip": CHIP, "embedding": EMBEDDING, "affine": "folded"}
    return {
        "kind": "identity",
        "name": IdentityEncoder.name,
        "identity": IdentityEncoder.name,
        "config": json.dumps(config),
        "origin": "dlib_face_recognition_resnet_model_v1.dat",
        "origin_sha256": origin_sha256,
        "license": "CC0-1.0",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert dlib's face recogniser, or write the measured mean.")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--dat", type=Path, help="dlib_face_recognition_resnet_model_v1.dat; the mean becomes zero")
    task.add_argument("--mean", type=Path, help=".npy with the mean raw embedding over the training crops")
    arguments = parser.parse_args()
    if arguments.dat:
        data = arguments.dat.read_bytes()
        # Half precision moves an embedding by less than 3e-6 in cosine and halves the file.
        tensors = {key: value.half() for key, value in convert(data).items()}
        tensors["mean"] = tensors["mean"].float()
        metadata = _metadata(hashlib.sha256(data).hexdigest())
    else:
        checkpoint = weights.load(_TARGET, "identity")
        tensors, metadata = checkpoint.tensors, checkpoint.meta
        tensors["mean"] = torch.from_numpy(np.load(arguments.mean)).float().view(EMBEDDING)
    weights.save(_TARGET, tensors, metadata)
    _list_hash(_TARGET)


def _list_hash(path: Path) -> None:
    """Put the file's new hash where the old one stands: in the list of hashes and in the model card."""
    new = hashlib.sha256(path.read_bytes()).hexdigest()
    sums, card = path.with_name(weights.SUMS), path.with_suffix(".md")
    old = next(line.split()[0] for line in sums.read_text().splitlines() if line.endswith(path.name))
    for text in (sums, card):
        text.write_text(text.read_text().replace(old, new))
    print(f"{path}: sha256 {new}")


if __name__ == "__main__":
    main()
