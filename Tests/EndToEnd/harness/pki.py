"""A development PKI from certs/make, and TLS contexts on it."""
import pathlib
import ssl
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]
NAMES = {
    "localhost": "DNS:localhost,IP:127.0.0.1", "shop": "DNS:shop.example", "wild": "DNS:*.example.com,DNS:example.com",
    "upstream": "DNS:upstream.internal", "client": "DNS:client,URI:spiffe://mesh.test/ns/default/sa/client",
    "other-client": "DNS:other-client,URI:spiffe://mesh.test/ns/default/sa/other",
}


class PKI:
    def __init__(self, directory):
        self.directory = directory
        subprocess.run([ROOT / "certs/make", directory, *(f"{name}={sans}" for name, sans in NAMES.items())],
                       check=True, capture_output=True)

    def path(self, name):
        return self.directory / name

    def ocsp_response(self, name, path):
        """Writes the authority's OCSP response, `good`, for a certificate; openssl's responder makes it."""
        said = subprocess.run(["openssl", "x509", "-in", f"{self.path(name)}.pem", "-noout", "-serial"],
                              check=True, capture_output=True, text=True).stdout
        index = path.with_suffix(".index")  # one line of the format of openssl-ca(1)
        index.write_text(f"V\t491231235959Z\t\t{said.strip().partition('=')[2]}\tunknown\t/CN={name}\n")
        authority, key = self.directory / "ca.pem", self.directory / "ca.key"
        subprocess.run(["openssl", "ocsp", "-index", index, "-CA", authority, "-issuer", authority, "-rsigner", authority,
                        "-rkey", key, "-cert", f"{self.path(name)}.pem", "-no_nonce", "-ndays", "1", "-respout", path],
                       check=True, capture_output=True)
        return path

    def client(self, *alpn, certificate=None, version=None, verify=True):
        """A client context that trusts the PKI."""
        context = ssl.create_default_context(cafile=str(self.directory / "ca.pem"))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if certificate:
            context.load_cert_chain(f"{self.path(certificate)}.pem", f"{self.path(certificate)}.key")
        if version:
            context.minimum_version = context.maximum_version = version
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def server(self, certificate="upstream", *alpn, mutual=False):
        """A server context with one certificate of the PKI."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{self.path(certificate)}.pem", f"{self.path(certificate)}.key")
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(str(self.directory / "ca.pem"))
        return context
