from pydantic import NonNegativeFloat

from lwft_bench import Optimizer, PluginOptions, register_optimizer
from lwft_bench.optimizers import Field


@register_optimizer("my-lion")
class MyLion(Optimizer):
    """The sign of a momentum, which is the only state (Lion, arXiv 2302.06675)."""

    kind = "elementwise"

    class Options(PluginOptions):
        beta1: NonNegativeFloat = 0.9
        beta2: NonNegativeFloat = 0.99
        weight_decay: NonNegativeFloat = 0.0

    options: Options

    def fields(self, shape, dtype):
        return (Field("momentum", dtype, shape),)

    def update(self, weight, gradient, state, step, lr):
        momentum, options = state["momentum"], self.options
        direction = momentum.lerp(gradient, 1 - options.beta1).sign_()
        weight.mul_(1 - lr * options.weight_decay).sub_(direction, alpha=lr)
        momentum.lerp_(gradient, 1 - options.beta2)
