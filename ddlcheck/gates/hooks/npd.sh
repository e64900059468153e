#!/bin/sh
# Installed by ddlcheck: a custom plug-in of node-problem-detector. 0: no problem; 1: a problem; 2: unknown.
said=$(timeout -s KILL @DEADLINE@ @GATE@ --timeout @TIMEOUT@ 2>&1)
status=$?
printf '%s\n' "$said" | sed -n 1p | cut -c1-80
case $status in
  0 | 1) exit "$status" ;;
  *) exit 2 ;;
esac
