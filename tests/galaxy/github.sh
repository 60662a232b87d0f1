# Makes a host its own GitHub for one release: Debian's package of caddy as the archive that a role downloads.
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y --no-install-recommends install caddy openssl ca-certificates python3 >/dev/null
systemctl disable --now caddy 2>/dev/null
mkdir -p /srv/github && cd /srv/github
releases=caddyserver/caddy/releases/download/v2.6.2
api=repos/caddyserver/caddy
mkdir -p $releases $api/git/refs $api/releases
tar czf $releases/caddy_2.6.2_linux_amd64.tar.gz -C /usr/bin caddy
(cd $releases && sha512sum *.tar.gz >caddy_2.6.2_checksums.txt)
echo '[{"ref": "refs/tags/v2.6.1"}, {"ref": "refs/tags/v2.6.2"}]' >$api/git/refs/tags
echo '{"tag_name": "v2.6.2"}' >$api/releases/latest
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -keyout ca.key -out ca.crt -subj "/CN=lab" \
  -addext keyUsage=critical,keyCertSign 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key -out csr -subj "/CN=github.com" 2>/dev/null
printf 'subjectAltName=DNS:github.com,DNS:api.github.com\nauthorityKeyIdentifier=keyid\n' >names
openssl x509 -req -in csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile names -out crt 2>/dev/null
cp ca.crt /usr/local/share/ca-certificates/lab.crt
update-ca-certificates >/dev/null
echo "127.0.0.1 github.com api.github.com" >>/etc/hosts
cat >serve.py <<'PY'
import functools, http.server, ssl
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="/srv/github")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 443), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/srv/github/crt", "/srv/github/key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
PY
systemd-run --quiet --unit=github python3 -B /srv/github/serve.py
for _ in $(seq 50); do
  python3 -c 'import socket; socket.create_connection(("127.0.0.1", 443))' 2>/dev/null && break
  sleep 0.1
done
