/// How TLS with clients is done.
public struct ServerTLS: Sendable, Equatable {
    /// At least one; the server name chooses among them, the first is for clients that match none.
    public var certificates: [Certificate]
    /// How clients prove who they are; nil: they need not.
    public var clientValidation: ClientValidation?
    /// The oldest version spoken.
    public var minimumVersion: TLSVersion
    /// Protocols offered by ALPN, best first; empty for byte streams.
    public var alpn: [String]

    /// TLS with `certificates`; the defaults where nothing is said.
    public init(
        certificates: [Certificate], clientValidation: ClientValidation? = nil,
        minimumVersion: TLSVersion = Self.defaultMinimumVersion, alpn: [String] = Self.defaultALPN
    ) {
        self.certificates = certificates
        self.clientValidation = clientValidation
        self.minimumVersion = minimumVersion
        self.alpn = alpn
    }

    /// TLS 1.2.
    public static let defaultMinimumVersion = TLSVersion.tls12
    /// HTTP/2, then HTTP/1.1.
    public static let defaultALPN = ["h2", "http/1.1"]
}

/// A version of TLS that may be the oldest.
public enum TLSVersion: Sendable, Equatable, CaseIterable {
    case tls12
    case tls13
}

/// A certificate with its key.
public struct Certificate: Sendable, Equatable {
    /// Where it comes from, for errors and `/certs`: `namespace/secret`.
    public var name: String
    /// PEM: the leaf, then its issuers.
    public var chain: [UInt8]
    /// PEM: the leaf's private key, not encrypted.
    public var privateKey: [UInt8]
    /// DER: an OCSP response to staple; nil: none.
    public var ocspStaple: [UInt8]?

    /// A certificate of these parts.
    public init(name: String, chain: [UInt8], privateKey: [UInt8], ocspStaple: [UInt8]? = nil) {
        self.name = name
        self.chain = chain
        self.privateKey = privateKey
        self.ocspStaple = ocspStaple
    }
}

/// How a client's certificate is checked (Gateway API, `tls.frontend.validation`).
public struct ClientValidation: Sendable, Equatable {
    /// What happens to clients without a valid certificate.
    public enum Mode: Sendable, Equatable, CaseIterable {
        /// The handshake fails.
        case allowValidOnly
        /// They are let in; backends can tell by the missing identity.
        case allowInsecureFallback
    }

    /// PEM: the authorities that sign client certificates.
    public var authorities: [UInt8]
    /// What happens to the others.
    public var mode: Mode

    /// Validation against `authorities`.
    public init(authorities: [UInt8], mode: Mode = .allowValidOnly) {
        self.authorities = authorities
        self.mode = mode
    }
}

/// How TLS with a backend is done (Gateway API, BackendTLSPolicy).
public struct BackendTLS: Sendable, Equatable {
    /// Who may sign the backend's certificate.
    public enum Trust: Sendable, Equatable {
        /// The machine's own list.
        case system
        /// PEM: these authorities.
        case authorities([UInt8])
    }

    /// A name that a certificate carries.
    public enum SubjectAltName: Sendable, Equatable {
        /// A DNS name.
        case hostname(String)
        /// A URI, such as a SPIFFE id.
        case uri(String)
    }

    /// Who may sign.
    public var trust: Trust
    /// The server name sent. The certificate must carry it, unless `subjectAltNames` says what else.
    public var hostname: String
    /// If not empty: the certificate must carry one of these, and need not carry `hostname`.
    public var subjectAltNames: [SubjectAltName]
    /// The certificate that the proxy shows; nil: none.
    public var clientCertificate: Certificate?
    /// The oldest version spoken.
    public var minimumVersion: TLSVersion

    /// TLS to a backend called `hostname`.
    public init(
        trust: Trust = .system, hostname: String, subjectAltNames: [SubjectAltName] = [],
        clientCertificate: Certificate? = nil, minimumVersion: TLSVersion = ServerTLS.defaultMinimumVersion
    ) {
        self.trust = trust
        self.hostname = hostname
        self.subjectAltNames = subjectAltNames
        self.clientCertificate = clientCertificate
        self.minimumVersion = minimumVersion
    }
}
