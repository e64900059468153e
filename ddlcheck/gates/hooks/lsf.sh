#!/bin/sh
# Installed by ddlcheck: LSF's HOST_PRE_EXEC, run on every host of a job before it starts.
# LSF puts the job back to PEND when this ends with anything but 0, and ends the job on 99, which is never said here.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
said=$(timeout -s KILL @DEADLINE@ @GATE@ --timeout @TIMEOUT@ 2>&1)
status=$?
[ "$status" -eq 0 ] && exit 0
line=$(printf '%s\n' "$said" | sed -n 1p | cut -c1-200)
logger -t ddlcheck -- "job ${LSB_JOBID:-?}: ${line:-exit status $status}" 2>/dev/null
if [ "@DRAIN@" = no ]; then
  echo "ddlcheck: would keep the job off this host: ${line:-exit status $status}" >&2
  exit 0
fi
echo "ddlcheck: ${line:-exit status $status}" >&2
exit 1
