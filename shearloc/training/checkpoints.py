"""Saves and restores a training run: its networks, optimizers and progress. A file is written whole or not at all.

`fitting.py` and `train_vae.py` decide what a run is and when to save it. Needs torch.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

Optimizers = list[torch.optim.Optimizer]


def save(path: Path, nets: Mapping[str, nn.Module], steppers: Optimizers, progress: dict[str, Any]) -> None:
    """Writes the networks' weights by their names, the optimizers' states and `progress`, plain numbers."""
    state: dict[str, Any] = {name: net.state_dict() for name, net in nets.items()}
    state |= {"steppers": [stepper.state_dict() for stepper in steppers], "progress": progress}
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def load_weights(net: nn.Module, path: Path) -> None:
    """Gives a network the weights of a `.pt` file. Whatever torch raises for a file that is none, or another's."""
    net.load_state_dict(torch.load(path, weights_only=True))


def load(path: Path, nets: Mapping[str, nn.Module], steppers: Optimizers) -> dict[str, Any]:
    """Restores networks and optimizers from a checkpoint and returns its `progress`; {} if there is none."""
    if not path.exists():
        return {}
    state = torch.load(path, weights_only=True)
    for name, net in nets.items():
        net.load_state_dict(state[name])
    for stepper, saved in zip(steppers, state["steppers"], strict=True):
        stepper.load_state_dict(saved)
    progress: dict[str, Any] = state["progress"]
    return progress
