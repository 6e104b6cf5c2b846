from pydantic import PositiveInt

from lwft_bench.strategies import Selection, Strategy, StrategyOptions, register


@register("my-lisa")
class MyLisa(Strategy):
    class Options(StrategyOptions):
        num_active: PositiveInt = 2
        period: PositiveInt = 20

    def select(self, step):
        num_units = len(self.context.units)
        units = self.context.rng.choice(num_units, self.options.num_active, replace=False)
        return Selection(units=units, num_steps=self.options.period)
