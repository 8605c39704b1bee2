import Foundation

extension API {
    /// A wish for a token.
    public struct TokenRequest: Codable, Sendable, Equatable {
        /// `workload:NAMESPACE/NAME` or `gateway:NAMESPACE/NAME`.
        public var role: String
        /// From now.
        public var lifetimeSeconds: Int
        /// How many instances may join with it.
        public var uses: Int
        /// Who made it, as in ``Change``.
        public var author: String

        /// A wish for a token of a role.
        public init(role: String, lifetimeSeconds: Int = 3600, uses: Int = 1, author: String = "") {
            self.role = role
            self.lifetimeSeconds = lifetimeSeconds
            self.uses = uses
            self.author = author
        }
    }

    /// A token, without its secret.
    public struct Token: Codable, Sendable, Equatable {
        /// What it is known by; not secret.
        public var id: String
        /// As in ``TokenRequest``.
        public var role: String
        /// When it was made.
        public var created: Date
        /// When it becomes useless.
        public var expires: Date
        /// How many instances may join with it, of `uses` in all.
        public var usesLeft: Int
        /// How many could at first.
        public var uses: Int
        /// True if it was made useless.
        public var isRevoked: Bool
        /// Who made it.
        public var author: String

        /// A token of these parts.
        public init(
            id: String, role: String, created: Date, expires: Date, usesLeft: Int, uses: Int, isRevoked: Bool = false,
            author: String = ""
        ) {
            self.id = id
            self.role = role
            self.created = created
            self.expires = expires
            self.usesLeft = usesLeft
            self.uses = uses
            self.isRevoked = isRevoked
            self.author = author
        }
    }

    /// A token with its secret.
    public struct NewToken: Codable, Sendable, Equatable {
        /// What may be known of it.
        public var token: Token
        /// What the proxy is given: `mt1.…`. A secret.
        public var secret: String

        /// A token with its secret.
        public init(token: Token, secret: String) {
            self.token = token
            self.secret = secret
        }
    }

    /// Whom the mesh believes.
    public struct TrustBundle: Codable, Sendable, Equatable {
        /// Of the mesh.
        public var trustDomain: String
        /// PEM: every root that is believed.
        public var pem: String
        /// The same, described.
        public var roots: [Authority]

        /// A bundle of these parts.
        public init(trustDomain: String, pem: String, roots: [Authority]) {
            self.trustDomain = trustDomain
            self.pem = pem
            self.roots = roots
        }
    }

    /// A certificate of an authority.
    public struct Authority: Codable, Sendable, Equatable {
        /// Distinguished name.
        public var subject: String
        /// SHA-256 of the certificate's DER, in hexadecimal digits.
        public var fingerprint: String
        /// When it begins to hold.
        public var notBefore: Date
        /// When it ends to hold.
        public var notAfter: Date
        /// True for the root that leaves are signed under now.
        public var isSigning: Bool

        /// An authority of these parts.
        public init(subject: String, fingerprint: String, notBefore: Date, notAfter: Date, isSigning: Bool) {
            self.subject = subject
            self.fingerprint = fingerprint
            self.notBefore = notBefore
            self.notAfter = notAfter
            self.isSigning = isSigning
        }
    }

    /// How far the replacement of the root is.
    public struct RootRotation: Codable, Sendable, Equatable {
        /// What to do next.
        public enum Step: String, Codable, Sendable, CaseIterable {
            /// Make a new root, and let everybody believe in it.
            case begin
            /// Sign under the new root, once everybody believes in it.
            case activate
            /// Stop to believe in the old one, once nobody has a certificate of it.
            case finish
        }

        /// What was done.
        public enum Phase: String, Codable, Sendable, CaseIterable {
            /// There is one root.
            case none
            /// Both are believed, the old one signs.
            case begun
            /// Both are believed, the new one signs.
            case activated
        }

        /// What was done.
        public var phase: Phase
        /// Every root that is believed.
        public var roots: [Authority]
        /// The proxies that are not ready for the next step: they have not confirmed the bundle, or have a certificate
        /// of the old root.
        public var waitingFor: [ProxyID]
        /// What comes next; nil: nothing, there is no rotation.
        public var next: Step?
        /// When the next step is safe at the latest, whoever is connected; nil: not known.
        public var safeAfter: Date?

        /// A rotation of these parts.
        public init(phase: Phase, roots: [Authority], waitingFor: [ProxyID], next: Step?, safeAfter: Date? = nil) {
            self.phase = phase
            self.roots = roots
            self.waitingFor = waitingFor
            self.next = next
            self.safeAfter = safeAfter
        }
    }

    /// Which certificates shall be useless: those of an instance, or the one of a serial number. Exactly one is given.
    public struct Revocation: Codable, Sendable, Equatable {
        /// The instance.
        public var proxy: ProxyID?
        /// In hexadecimal digits.
        public var serial: String?
        /// Why, for people.
        public var reason: String
        /// Who does it, as in ``Change``.
        public var author: String

        /// A revocation.
        public init(proxy: ProxyID? = nil, serial: String? = nil, reason: String = "", author: String = "") {
            self.proxy = proxy
            self.serial = serial
            self.reason = reason
            self.author = author
        }
    }

    /// What was revoked.
    public struct RevocationResult: Codable, Sendable, Equatable {
        /// Serial numbers of certificates that would still have held.
        public var serials: [String]

        /// These were revoked.
        public init(serials: [String]) { self.serials = serials }
    }
}
