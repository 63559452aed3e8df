"""The optimiser of a network: Adam, and the schedule of its learning rate."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Optimiser:
    """Adam with a learning rate that rises for a tenth of the run, then falls as a cosine.

    Args:
        network: whose weights it changes.
        peak: the highest learning rate.
        steps: how many there will be.
        slower: weights that learn at a share of that rate, and the share.
    """

    def __init__(
        self,
        network: nn.Module,
        peak: float,
        steps: int,
        slower: tuple[Sequence[nn.Parameter], float] = ((), 1.0),
    ) -> None:
        slow, share = slower
        ours = [each for each in network.parameters() if not any(each is one for one in slow)]
        groups = [{"params": ours}, *([{"params": list(slow)}] if slow else [])]
        self._adam = torch.optim.Adam(groups, lr=peak, fused=True)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            # Of 10 steps, a tenth would be a rise without a length.
            self._adam,
            [peak, share * peak][: len(groups)],
            total_steps=max(steps, 11),
            pct_start=0.1,
        )

    def step(self, loss: Tensor) -> None:
        """Take one step down the gradient of a scalar."""
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self._schedule.step()

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def keep(self, weights: nn.Parameter, inputs: Tensor) -> None:
        """Keep the weights of some inputs, a mask of shape (I,), and what Adam knows of them."""
        shape = weights.shape
        state = self._adam.state.get(weights, {})
        for name, value in state.items():
            if value.shape == shape:
                state[name] = value[:, inputs.to(value.device)]
        weights.data = weights.data[:, inputs.to(weights.device)]
        weights.grad = None

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs to go on as if nothing had happened."""
        return {"adam": self._adam.state_dict(), "schedule": self._schedule.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self._adam.load_state_dict(state["adam"])
        self._schedule.load_state_dict(state["schedule"])
