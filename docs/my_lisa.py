from pydantic import PositiveInt

from lwft_bench import PluginOptions, Selection, Strategy, register


@register("my-lisa")
class MyLisa(Strategy):
    """Every `period` steps `num_active` units, drawn uniformly."""

    class Options(PluginOptions):
        num_active: PositiveInt = 2
        period: PositiveInt = 20

    options: Options

    def select(self, step):
        num_units = len(self.context.units)
        units = self.context.rng.choice(num_units, self.options.num_active, replace=False)
        return Selection(units=units, num_steps=self.options.period)
