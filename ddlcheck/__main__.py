"""`python -m ddlcheck` is `ddlcheck`."""

from ddlcheck.cli import main

raise SystemExit(main())
