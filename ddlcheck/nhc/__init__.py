"""LBNL NHC's configuration as declared values: `lines` parses, `turn` translates, `hosts` says whose they are."""
