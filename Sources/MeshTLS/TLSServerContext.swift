import COpenSSL
import Glibc
import MeshCore

/// The lowest TLS version to speak.
public enum TLSVersion: Sendable {
    case v1_2
    case v1_3

    var number: Int32 {
        switch self {
        case .v1_2: TLS1_2_VERSION
        case .v1_3: TLS1_3_VERSION
        }
    }
}

/// An application protocol negotiated in the handshake (RFC 7301).
public enum ALPN: Sendable, Equatable {
    case http2
    case http1
    /// None was negotiated.
    case none

    /// Its registered name.
    public var name: String {
        switch self {
        case .http2: "h2"
        case .http1: "http/1.1"
        case .none: ""
        }
    }

    init(bytes: UnsafeBufferPointer<UInt8>) {
        // SAFETY: compared here, not kept.
        if unsafe bytes.elementsEqual("h2".utf8) {
            self = .http2
        } else if unsafe bytes.elementsEqual("http/1.1".utf8) {
            self = .http1
        } else {
            self = .none
        }
    }

    /// Names of `protocols`, each behind its length.
    static func wire(_ protocols: [ALPN]) -> [UInt8] {
        protocols.filter { $0 != .none }.flatMap { [UInt8($0.name.utf8.count)] + Array($0.name.utf8) }
    }
}

/// Cipher suites in OpenSSL's names, best first.
public struct TLSCipherSuites: Sendable {
    /// TLS 1.2 and below, separated by colons.
    public var tls12: String
    /// TLS 1.3, separated by colons.
    public var tls13: String

    /// These suites.
    public init(tls12: String = Self.sane.tls12, tls13: String = Self.sane.tls13) {
        self.tls12 = tls12
        self.tls13 = tls13
    }

    private init(_ tls12: String, _ tls13: String) {
        self.tls12 = tls12
        self.tls13 = tls13
    }

    /// Forward secrecy and authenticated encryption only; AES-128 first, as it costs least and is as good as needed.
    /// A client without AES instructions, which puts ChaCha20 first, gets ChaCha20.
    public static let sane = TLSCipherSuites(
        """
        ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
        ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305
        """,
        "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256")
}

/// Whether clients must show a certificate.
public enum ClientValidation: Sendable {
    /// Not asked for.
    case none
    /// Asked for, and the handshake fails without one that chains to these authorities.
    case required(caPEM: [UInt8])
    /// Asked for; a missing or untrusted one is let through and reported as such (`AllowInsecureFallback`).
    case allowInsecureFallback(caPEM: [UInt8])

    var caPEM: [UInt8]? {
        switch self {
        case .none: nil
        case .required(let pem), .allowInsecureFallback(let pem): pem
        }
    }
}

/// The server side of TLS for one listener: certificates, policy and ticket keys. Immutable, shared by all loops.
@safe
public final class TLSServerContext: @unchecked Sendable {
    /// What was loaded, in the order given.
    public let certificateFacts: [CertificateFacts]
    /// What is wrong without keeping anything from working: a certificate that expired or is not valid yet.
    public let warnings: [String]
    /// Hand these to the context that replaces this one, so that clients can resume across a reload.
    public let ticketKeys: TLSTicketKeys

    /// Certificates that go together: the same name under different key algorithms.
    private struct Slot {
        let context: OwnedContext
        let members: [Int]
    }

    private let credentials: [Credential]
    private let slots: [Slot]
    private let exact: [String: Int]
    /// By what follows `*.`.
    private let wildcard: [String: Int]
    private let alpn: [ALPN]
    private let hasStaple: Bool
    /// Fetched once: OpenSSL 3 otherwise looks it up for every ticket.
    private let ticketCipher: OpaquePointer

    /// Reads everything that a listener needs to speak TLS.
    ///
    /// - Parameters:
    ///   - certificates: at least one. The server name chooses: the exact name, else `*.` and one label less, else the
    ///     first certificate. Several certificates for one name are all offered if their key algorithms differ.
    ///   - alpn: in order of preference; empty negotiates nothing.
    ///   - ticketKeys: those of the context that this one replaces, if there is one.
    /// - Throws: a line that names the certificate and what is wrong with it.
    public init(
        certificates: [TLSCertificate], minimumVersion: TLSVersion = .v1_2, cipherSuites: TLSCipherSuites = .sane,
        alpn: [ALPN] = [.http2, .http1], clientValidation: ClientValidation = .none,
        ticketKeys: TLSTicketKeys = TLSTicketKeys()
    ) throws(ProxyError) {
        if certificates.isEmpty { throw ProxyError("a TLS listener needs at least one certificate") }
        let now = Int64(time(nil))
        var credentials: [Credential] = []
        for certificate in certificates { credentials.append(try Credential(certificate, now: now)) }
        let plan = CertificatePlan(credentials)
        let trust = try clientValidation.caPEM.map { pem throws(ProxyError) in
            try PEM.trust(pem, label: "client validation")
        }
        var slots: [Slot] = []
        for members in plan.slots {
            // SAFETY: `TLS_server_method` is a static table.
            let context = unsafe OwnedContext(method: TLS_server_method())
            for member in members { try credentials[member].install(in: context, label: certificates[member].label) }
            try context.configure(minimumVersion: minimumVersion, suites: cipherSuites)
            if let trust { context.validateClients(clientValidation, trust) }
            context.nameSessions(after: clientValidation)
            slots.append(Slot(context: context, members: members))
        }
        guard let cipher = unsafe EVP_CIPHER_fetch(nil, "AES-256-CBC", nil) else {
            throw ProxyError("OpenSSL offers no AES-256-CBC for session tickets")
        }
        unsafe ticketCipher = cipher
        self.credentials = credentials
        self.slots = slots
        exact = plan.exact
        wildcard = plan.wildcard
        self.alpn = alpn.filter { $0 != .none }
        self.ticketKeys = ticketKeys
        certificateFacts = credentials.map(\.facts)
        warnings = credentials.flatMap(\.warnings)
        hasStaple = credentials.contains { $0.staple != nil }
        for slot in slots { connectCallbacks(of: slot.context) }
    }

    deinit { unsafe EVP_CIPHER_free(ticketCipher) }

    /// True if a certificate is valid for `serverName` (not merely the fallback for unknown names).
    public func serves(_ serverName: String) -> Bool { slot(for: Self.normal(serverName)) != nil }

    /// True if the certificate that a client got by asking for `asked` (nil: no server name) is valid for `serverName`
    /// too: else a request for it on that connection is misdirected (421, RFC 9110 §15.5.20).
    public func certificate(askedBy asked: String?, serves serverName: String) -> Bool {
        let name = Self.normal(serverName)
        let given = slots[asked.flatMap { slot(for: Self.normal($0)) } ?? 0]
        return given.members.allSatisfy { credentials[$0].names.contains { CertificatePlan.matches($0, name) } }
    }

    /// The `SSL_CTX` that a connection starts with.
    var initialContext: OpaquePointer { unsafe slots[0].context.pointer }

    // MARK: Called by OpenSSL during a handshake

    /// Switches `ssl` to the certificate for its server name; false if only the fallback fits.
    func chooseCertificate(for ssl: OpaquePointer) -> Bool {
        // SAFETY: `ssl` is in its handshake; the name is copied.
        guard let name = unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) else { return false }
        guard let index = slot(for: Self.normal(unsafe String(cString: name))) else { return false }
        if index != 0 { unsafe SSL_set_SSL_CTX(ssl, slots[index].context.pointer) }
        return true
    }

    /// Where in the client's list the protocol is that we prefer.
    func chooseProtocol(_ offer: UnsafeBufferPointer<UInt8>) -> Range<Int>? {
        // SAFETY: `offer` is valid for the callback; indices stay below its count.
        for wanted in alpn {
            var index = 0
            while index < offer.count {
                let start = index + 1
                let end = unsafe start + Int(offer[index])
                guard end <= offer.count else { return nil }
                if unsafe ALPN(bytes: UnsafeBufferPointer(rebasing: offer[start..<end])) == wanted {
                    return start..<end
                }
                index = end
            }
        }
        return nil
    }

    /// Staples the response of the certificate that `ssl` is about to send; false if there is none.
    func staple(to ssl: OpaquePointer) -> Bool {
        // SAFETY: compares pointers of certificates that live as long as this object; the staple is copied.
        let inUse = unsafe SSL_get_certificate(ssl)
        guard let credential = credentials.first(where: { unsafe $0.leaf.pointer == inUse }),
            let staple = credential.staple
        else { return false }
        return unsafe staple.withUnsafeBytes { unsafe mesh_set_staple(ssl, $0.baseAddress, $0.count) == 1 }
    }

    /// Readies `cipher` and `mac` for one ticket; the result is what OpenSSL's callback returns.
    func ticket(
        _ ssl: OpaquePointer, _ name: UnsafeMutablePointer<UInt8>, _ vector: UnsafeMutablePointer<UInt8>,
        _ cipher: OpaquePointer, _ mac: OpaquePointer, encrypt: Bool
    ) -> Int32 {
        // SAFETY: OpenSSL gives 16 bytes of name and 16 of initialisation vector, valid for the callback.
        let now = Int64(time(nil))
        if encrypt {
            let key = ticketKeys.current(now: now)
            guard unsafe RAND_bytes(vector, 16) == 1 else { return -1 }
            for index in 0..<16 { unsafe name[index] = key.name[index] }
            return unsafe mesh_ticket_begin(cipher, mac, ticketCipher, key.secret, vector, 1) == 1 ? 1 : -1
        }
        guard let key = unsafe ticketKeys.key(named: UnsafeBufferPointer(start: name, count: 16), now: now)
        else { return 0 }
        guard unsafe mesh_ticket_begin(cipher, mac, ticketCipher, key.secret, vector, 0) == 1 else { return -1 }
        // A TLS 1.3 client uses a ticket once (RFC 8446 §C.4), so it gets another.
        return unsafe SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1
    }

    // MARK: Private

    private func connectCallbacks(of context: OwnedContext) {
        // SAFETY: unretained; this object owns the context and frees it in its own deinit.
        let owner = unsafe Unmanaged.passUnretained(self).toOpaque()
        let pointer = unsafe context.pointer
        unsafe SSL_CTX_set_ex_data(pointer, 0, owner)
        unsafe mesh_ctx_on_server_name(pointer, serverNameChosen, owner)
        if !alpn.isEmpty { unsafe SSL_CTX_set_alpn_select_cb(pointer, protocolChosen, owner) }
        if hasStaple { unsafe mesh_ctx_on_status(pointer, stapleWanted, owner) }
        unsafe SSL_CTX_set_tlsext_ticket_key_evp_cb(pointer, ticketKeyWanted)
    }

    private func slot(for name: String) -> Int? {
        if let index = exact[name] { return index }
        guard !wildcard.isEmpty, let dot = name.utf8.firstIndex(of: UInt8(ascii: ".")), dot != name.startIndex
        else { return nil }
        return wildcard[String(name[name.index(after: dot)...])]
    }

    /// Lower case, without a trailing dot.
    private static func normal(_ name: String) -> String {
        var name = name.lowercased()
        if name.hasSuffix(".") { name.removeLast() }
        return name
    }
}

/// Which certificates go together, and which names lead to them.
struct CertificatePlan {
    /// Indices of certificates, the first list being the fallback.
    private(set) var slots: [[Int]] = []
    private(set) var exact: [String: Int] = [:]
    private(set) var wildcard: [String: Int] = [:]

    init(_ credentials: [Credential]) {
        var byName: [String: [Int]] = [:]
        var order: [String] = []
        for (index, credential) in credentials.enumerated() {
            for name in credential.names {
                if byName[name] == nil { order.append(name) }
                let taken = byName[name, default: []]
                // The first certificate of each key algorithm wins its name.
                if !taken.contains(where: { credentials[$0].algorithm == credential.algorithm }) {
                    byName[name] = taken + [index]
                }
            }
        }
        // The fallback: the first certificate, with its siblings of other key algorithms.
        var known: [[Int]: Int] = [:]
        let first = credentials[0].names.first.flatMap { byName[$0] } ?? [0]
        slots = [first]
        known[first] = 0
        for name in order {
            guard let members = byName[name] else { continue }
            let slot = known[members] ?? slots.count
            if slot == slots.count {
                slots.append(members)
                known[members] = slot
            }
            if name.hasPrefix("*.") { wildcard[String(name.dropFirst(2))] = slot } else { exact[name] = slot }
        }
    }

    /// True if `pattern`, a certificate's name, covers `name`: equal, or `*.` in place of exactly one label.
    static func matches(_ pattern: String, _ name: String) -> Bool {
        if pattern == name { return true }
        guard pattern.hasPrefix("*."), let dot = name.utf8.firstIndex(of: UInt8(ascii: ".")), dot != name.startIndex
        else { return false }
        return name[dot...] == pattern.dropFirst()
    }
}
