# Starts the store: sh start.sh. Users and their rights are those of users.acl beside it; of the passwords the server
# gets the sums only, and a command line nothing. The second user is for people with valkey-cli (docs/redis.md) and needs
# a password to exist.
#
#   REDISCLI_AUTH             the service's password, under the name where the health check's client finds it too
#   REDIS_OPERATOR_PASSWORD   the operator's; may be empty
set -eu
umask 077

sum() { printf %s "$1" | sha256sum | cut -c 1-64; }

sed "/^user cloakroom /s/#0*/#$(sum "$REDISCLI_AUTH")/" /etc/cloakroom/users.acl > /tmp/users.acl
if [ -n "${REDIS_OPERATOR_PASSWORD:-}" ]; then
  sed -i "/^user operator /s/#0*/#$(sum "$REDIS_OPERATOR_PASSWORD")/" /tmp/users.acl
fi
# Redis serves as well as Valkey.
server=$(command -v valkey-server || command -v redis-server)
exec "$server" /etc/cloakroom/redis.conf --aclfile /tmp/users.acl
