from ddlcheck.fabric.options import LEAST_MS, Options


def test_phases_are_shortened_to_fit_and_never_lengthened():
    options = Options()
    whole = options.per_round()
    options.shorten(whole / 2)
    assert options.per_round() < whole * 0.55
    options.shorten(100)
    assert options.per_round() < whole * 0.55
    options.shorten(0)
    assert options.ms == LEAST_MS
