#!/bin/bash
# Beside mongod, for as long as it runs: when the mounted certificate, its key or the authority have changed, mongod is told to
# read them. Connections stay as they are; new ones get the new certificate. What does not fit mongod refuses, and keeps what it
# has: then, and where it is not there yet, this tries again.
trap 'exit 0' TERM
told=
while true; do
  touch /tmp/looked
  now=$(cat /pki/tls-combined.pem /pki/ca.crt | sha256sum)
  if [ "$now" != "$told" ] && (: < /dev/tcp/127.0.0.1/27017) 2> /dev/null; then
    mongosh --nodb --norc --quiet /rotation/rotate.js && told=$now
  fi
  sleep 10 &
  wait $!
done
