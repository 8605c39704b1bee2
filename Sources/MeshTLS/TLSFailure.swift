import COpenSSL
import MeshCore

/// Why a TLS connection failed: for the log, never for the peer, and without secrets.
public struct TLSFailure: Error, Sendable, CustomStringConvertible {
    /// What a caller may want to tell apart.
    public enum Kind: Sendable {
        /// The peer's certificate is not trusted, expired, or names somebody else.
        case peerNotTrusted
        /// The server's certificate is trusted, but carries none of the SPIFFE ids that were expected.
        case identityMismatch
        /// The client showed no certificate and the listener requires one.
        case certificateRequired
        /// No protocol version, cipher suite, group or ALPN protocol in common.
        case nothingInCommon
        /// The peer gave up and said so with an alert.
        case peerAlert
        /// The bytes are not TLS (plain HTTP, for example).
        case notTLS
        /// The transport ended without a close_notify.
        case truncated
        /// Anything else: a malformed or unauthentic record, a message out of order.
        case protocolError
    }

    /// What kind of failure it was.
    public let kind: Kind
    /// One short line.
    public let description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    /// What OpenSSL's error queue of this thread says about `ssl`; empties the queue.
    init(takingErrorsOf ssl: OpaquePointer) {
        // SAFETY: `ssl` is alive; the strings are static tables of OpenSSL.
        let code = ERR_peek_error()
        let reason = Int32(truncatingIfNeeded: UInt(code) & 0x7f_ffff)
        let library = Int32(truncatingIfNeeded: (UInt(code) >> 23) & 0xff)
        let text = OpenSSLErrors.take() ?? "the connection ended"
        let verification = unsafe SSL_get_verify_result(ssl)
        guard library == ERR_LIB_SSL else {
            self.init(code == 0 ? .truncated : .protocolError, text)
            return
        }
        if reason == SSL_R_CERTIFICATE_VERIFY_FAILED, verification != Int(X509_V_OK) {
            let why = unsafe X509_verify_cert_error_string(verification).map { unsafe String(cString: $0) }
            self.init(.peerNotTrusted, "certificate verify failed: \(why ?? text)")
        } else {
            self.init(Self.kind(reason: reason), text)
        }
    }

    private static func kind(reason: Int32) -> Kind {
        switch reason {
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: .certificateRequired
        case SSL_R_CERTIFICATE_VERIFY_FAILED: .peerNotTrusted
        case SSL_R_UNEXPECTED_EOF_WHILE_READING: .truncated
        case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST, SSL_R_WRONG_VERSION_NUMBER, SSL_R_UNKNOWN_PROTOCOL:
            .notTLS
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_NO_SHARED_CIPHER, SSL_R_NO_SUITABLE_KEY_SHARE, SSL_R_NO_SHARED_GROUPS,
            SSL_R_NO_APPLICATION_PROTOCOL, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
            SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
            .nothingInCommon
        // Alerts are numbered from here on (SSL_AD_REASON_OFFSET).
        case 1000..<1256: .peerAlert
        default: .protocolError
        }
    }
}

/// The error queue that OpenSSL keeps per thread.
enum OpenSSLErrors {
    /// The oldest error as text, nil if there is none; empties the queue.
    static func take() -> String? {
        // SAFETY: the reason string is a static table entry.
        let code = ERR_get_error()
        defer { ERR_clear_error() }
        guard code != 0 else { return nil }
        guard let reason = unsafe ERR_reason_error_string(code) else { return "OpenSSL error \(code)" }
        return unsafe String(cString: reason)
    }
}
