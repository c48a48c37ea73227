#!/bin/sh
# The check of external-check.cfg: is the server's port open, and is there no file that takes the server out of service?
#
# Called as: external-check.sh <proxy address> <proxy port> <server address> <server port>
# The first line printed is shown in the statistics; exit status 0 means up. See docs/external-checks.md.

flag="/run/maintenance/$HAPROXY_SERVER_NAME"
if [ -e "$flag" ]; then
    echo "taken out by $flag"
    exit 2
fi
if ! nc -z -w 2 "$3" "$4"; then
    echo "nothing listens on $3:$4"
    exit 1
fi
echo "listening, $HAPROXY_SERVER_CURCONN connections"
exit 0
