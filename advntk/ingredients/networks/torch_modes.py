"""Modes of torch that a caller may have set and that would break or change a computation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


@contextmanager
def recording_gradients(device: torch.device) -> Iterator[None]:
    """Record gradients in full precision, whatever mode surrounds the block.

    Suspends ``no_grad``, ``inference_mode`` and ``autocast``. A tensor made under ``inference_mode`` must be cloned in
    the block before it takes part in a gradient.

    Args:
        device: where the block computes.
    """
    with torch.inference_mode(False), torch.enable_grad(), _full_precision(device):
        yield


@contextmanager
def without_gradients(device: torch.device) -> Iterator[None]:
    """Compute in full precision and record nothing, whatever mode surrounds the block.

    Args:
        device: where the block computes.
    """
    with torch.no_grad(), _full_precision(device):
        yield


def _full_precision(device: torch.device) -> AbstractContextManager[None]:
    """No ``autocast``; entered only where there is one, as it costs more than all other modes."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
