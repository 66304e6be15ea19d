"""What NCCL takes."""

from finefit.catalog.nccl import communicator, rows


def test_one_process_speaks_to_nobody() -> None:
    """Nothing is taken, and nothing is uncertain."""
    alone = communicator(1)
    assert (alone.low, alone.typical, alone.high, alone.reasons) == (0, 0, 0, ())


def test_what_was_read_lies_in_the_range() -> None:
    """Every row, at its number of GPUs; more GPUs never take less."""
    for gpus, nbytes, _ in rows():
        found = communicator(gpus)
        assert found.low <= nbytes <= found.high
    typical = [communicator(gpus).typical for gpus in range(1, 17)]
    assert typical == sorted(typical)
