"""Shared storage between nodes: what one writes, the others read.

`ddlcheck.storage.stage.share` is the stage. Its rounds are driven from the asking machine, one after the other, so
that "within so many seconds" needs no clock but ours: a token is written before anybody looks for it.
"""
