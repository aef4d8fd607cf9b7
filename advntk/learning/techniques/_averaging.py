"""A network whose weights are a running average of those of the one that is trained."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from advntk.learning.at_parts import Technique

if TYPE_CHECKING:
    from torch import Tensor, nn

    from advntk.learning.at_run import Run


class Averaging(Technique):
    """ā ← ā + s (w − ā) after each update with a share s; reports, checkpoints and the choice on val take ā.

    The running statistics of batch norms are measured anew for ā before it is used, on the clean training images.
    """

    averages = True
    copies = 1

    def __init__(self, options: Any, run: Run) -> None:
        super().__init__(options, run)
        self.net = copy.deepcopy(run.net)

    def share(self) -> float:
        """Weight s of the present weights in the average; 0 at updates after which nothing is averaged."""
        raise NotImplementedError

    def stepped(self) -> None:
        """Average."""
        if share := self.share():
            for average, weight in zip(self.net.parameters(), self.run.net.parameters(), strict=True):
                average.lerp_(weight, share)

    def deployed(self) -> nn.Module | None:
        """The averaged network."""
        import torch
        from torch.optim.swa_utils import update_bn

        size = self.run.options.batch
        whole = self.run.images[: self.run.epoch_steps * size]  # batch norms refuse a last batch of one image
        update_bn(torch.split(whole, size), self.net)
        return self.net.eval()

    def state(self) -> dict[str, Tensor]:
        """The average."""
        return self.net.state_dict()

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up the average."""
        self.net.load_state_dict(state)
