from lwft_bench.strategies.all_units import AllUnits


def test_one_selection_of_every_unit_lasts_to_the_end(make_context):
    strategy = AllUnits()
    strategy.start(make_context(4))
    selection = strategy.select(0)
    assert selection.units == (0, 1, 2, 3)
    assert selection.num_steps == 1000
