"""`python -m lwft_bench`."""

from lwft_bench.cli import main

main()
