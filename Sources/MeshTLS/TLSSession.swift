import COpenSSL
import Glibc
import MeshCore

/// TLS on one connection, without I/O: ciphertext in by ``feed(_:)``, plaintext out by ``read(into:output:)``, and
/// records out into the queue that each call is given. One loop only.
///
/// OpenSSL reaches back through a transport without a buffer (`Callbacks.swift`): it reads from the fed slices and
/// writes into `sink`, a pointer to the caller's queue that is set for the duration of one call and never longer.
/// An idle session holds what OpenSSL needs (14 KiB) and nothing more after ``shrink()``.
@safe
public final class TLSSession {
    /// How far a handshake got.
    public enum Handshake: Sendable {
        /// More bytes from the peer are needed; what is in the output must be sent first.
        case wantsInput
        /// Both sides agree; data may flow.
        case done
        /// It failed for good. The output may hold an alert that tells the peer.
        case failed(TLSFailure)
    }

    /// What ``read(into:output:)`` returns when it gives no bytes.
    public static let closedByPeer = 0
    /// What ``read(into:output:)`` returns when it needs more input.
    public static let needsInput = -1
    /// What ``read(into:output:)`` returns when the connection is broken; see ``failure``.
    public static let broken = -2

    /// Why the session failed, once it did.
    public private(set) var failure: TLSFailure?
    /// True once the handshake is done.
    public private(set) var isEstablished = false

    /// True once the transport gave its last byte.
    private(set) var inputEnded = false

    let ssl: OpaquePointer
    private var input = SliceQueue()
    private var sink: UnsafeMutablePointer<OutputQueue>?
    /// What the last read gave beyond bytes: reported by the next one.
    private var ending: Int?

    // The contexts own what OpenSSL's callbacks are given; they stay as long as the session.
    private let server: TLSServerContext?
    private let client: TLSClientContext?
    private let name: String
    private let storeKey: String
    /// SPIFFE ids of which the server must show one; nil: the context says what is checked.
    private let expected: [String]?
    /// The SPIFFE id of a server that showed another one.
    private var mismatch: String?

    /// The server side of a new connection.
    public init(server: TLSServerContext) {
        self.server = server
        client = nil
        name = ""
        storeKey = ""
        expected = nil
        unsafe ssl = Self.make(server.initialContext)
        unsafe SSL_set_accept_state(ssl)
        attach()
    }

    /// The client side of a new connection.
    ///
    /// - Parameters:
    ///   - serverName: sent as SNI (unless it is an IP address) and checked against the certificate, unless the
    ///     context lists names of its own.
    ///   - address: tells endpoints behind one name apart for resumption.
    public init(client: TLSClientContext, serverName: String, address: String = "") {
        server = nil
        self.client = client
        name = serverName
        expected = nil
        storeKey = address.isEmpty ? serverName : "\(serverName) \(address)"
        unsafe ssl = Self.make(client.context.pointer)
        unsafe SSL_set_connect_state(ssl)
        attach()
        if !serverName.isEmpty && !Self.isAddress(serverName) {
            // SAFETY: OpenSSL copies the name. One that is too long fails here.
            ERR_clear_error()
            if unsafe mesh_set_server_name(ssl, serverName) != 1 {
                ERR_clear_error()
                failure = TLSFailure(.protocolError, "not a server name: \(serverName.prefix(64))")
            }
        }
        resume()
    }

    /// The client side of a new connection between two proxies of a mesh. No server name is sent or checked: the server
    /// must show one of `identities`, SPIFFE ids.
    ///
    /// - Parameters:
    ///   - address: tells endpoints apart for resumption.
    ///   - isHTTP2: offers HTTP/2; false for bytes, which are negotiated by nobody.
    public init(mesh: MeshContexts, identities: [String], address: String, isHTTP2: Bool) {
        server = nil
        client = mesh.client
        name = ""
        expected = identities
        // A session that is resumed shows no certificate: it is for whom it was made only.
        storeKey = "\(isHTTP2 ? "h2" : "bytes") \(address) \(identities.joined(separator: " "))"
        unsafe ssl = Self.make(mesh.client.context.pointer)
        unsafe SSL_set_connect_state(ssl)
        attach()
        if !isHTTP2 { _ = unsafe SSL_set_alpn_protos(ssl, nil, 0) }
        resume()
    }

    /// Offers the server a session that it knows, if there is one.
    private func resume() {
        // SAFETY: OpenSSL takes a reference of its own to the session.
        if let session = client?.sessions.take(for: storeKey) {
            _ = unsafe session.lend { unsafe SSL_set_session(ssl, $0) }
        }
    }

    deinit {
        // OpenSSL takes a connection that ends without a shutdown for broken, and its session for spoilt. Since TLS 1.1
        // (RFC 4346 §7.2.1) only an error spoils it.
        if failure == nil { unsafe SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN) }
        unsafe SSL_free(ssl)
    }

    // MARK: Verbs, in the order of life

    /// Hands over bytes that the peer sent; they are kept until OpenSSL has read them.
    public func feed(_ ciphertext: consuming Slice) { input.append(ciphertext) }

    /// Says that the peer's side of the transport ended: without a close_notify before, that is a truncation.
    public func feedEnd() { inputEnded = true }

    /// Takes the handshake as far as the fed bytes allow.
    public func handshake(output: inout OutputQueue) -> Handshake {
        if let failure { return .failed(failure) }
        return unsafe withUnsafeMutablePointer(to: &output) { pointer in
            // SAFETY: `sink` is set for this call only, while `output` is borrowed.
            unsafe sink = unsafe pointer
            defer { unsafe sink = nil }
            ERR_clear_error()
            let result = unsafe SSL_do_handshake(ssl)
            if result == 1 {
                isEstablished = true
                return .done
            }
            if unsafe SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ { return .wantsInput }
            return .failed(fail())
        }
    }

    /// Decrypts into `buffer` until it is full or the fed bytes are used up.
    ///
    /// Reading may produce output (an answer to a key update, an alert).
    ///
    /// - Returns: the number of bytes, at least one; or ``needsInput``, ``closedByPeer``, or ``broken``.
    public func read(into buffer: UnsafeMutableRawBufferPointer, output: inout OutputQueue) -> Int {
        if let ending { return ending }
        guard let start = buffer.baseAddress, isEstablished, failure == nil else {
            return failure == nil ? Self.needsInput : Self.broken
        }
        return unsafe withUnsafeMutablePointer(to: &output) { pointer in
            // SAFETY: `sink` is set for this call only; OpenSSL writes at most the room it is told of.
            unsafe sink = unsafe pointer
            defer { unsafe sink = nil }
            ERR_clear_error()
            let room = buffer.count
            var total = 0
            var count = 0
            while total < room {
                let result = unsafe SSL_read_ex(ssl, start + total, room &- total, &count)
                if result == 1 {
                    total &+= count
                    continue
                }
                let error = unsafe SSL_get_error(ssl, result)
                if error == SSL_ERROR_WANT_READ { break }
                ending = error == SSL_ERROR_ZERO_RETURN ? Self.closedByPeer : Self.broken
                if error != SSL_ERROR_ZERO_RETURN { _ = fail() }
                break
            }
            return total > 0 ? total : ending ?? Self.needsInput
        }
    }

    /// Encrypts all of `bytes`.
    ///
    /// - Returns: false if the session is not established or broken; nothing more can be sent then.
    public func write(_ bytes: UnsafeRawBufferPointer, output: inout OutputQueue) -> Bool {
        // SAFETY: as in `read`; OpenSSL reads `bytes` before it returns.
        unsafe withUnsafeMutablePointer(to: &output) { pointer in
            unsafe sink = unsafe pointer
            defer { unsafe sink = nil }
            ERR_clear_error()
            return unsafe encrypt(bytes)
        }
    }

    /// Encrypts all of `bytes`.
    ///
    /// - Returns: false if the session is not established or broken; nothing more can be sent then.
    public func write(_ bytes: Span<UInt8>, output: inout OutputQueue) -> Bool {
        unsafe bytes.withUnsafeBytes { unsafe write($0, output: &output) }
    }

    /// Encrypts up to `limit` bytes from the front of `plaintext`; small runs share a record.
    ///
    /// - Returns: false if the session is not established or broken; nothing more can be sent then.
    public func write(queue plaintext: inout OutputQueue, upTo limit: Int = .max, output: inout OutputQueue) -> Bool {
        // SAFETY: as in `read`. Runs are read before they are dropped; the scratch is this thread's and is used
        // between here and the end of `encrypt` only.
        unsafe withUnsafeMutablePointer(to: &output) { pointer in
            unsafe sink = unsafe pointer
            defer { unsafe sink = nil }
            ERR_clear_error()
            let scratch = unsafe UnsafeMutableRawPointer(mesh_scratch()!)
            var left = min(limit, plaintext.byteCount)
            while left > 0 {
                let run = unsafe plaintext.firstRun()
                let whole = min(run.count, left)
                if whole >= Self.recordBytes || whole == left {
                    // Full records straight from the run, or its end if nothing follows.
                    let count = whole == left ? whole : whole / Self.recordBytes * Self.recordBytes
                    guard unsafe encrypt(UnsafeRawBufferPointer(rebasing: run[..<count])) else { return false }
                    plaintext.drop(count)
                    left &-= count
                    continue
                }
                var gathered = 0
                while left > 0 && gathered < Self.recordBytes {
                    let run = unsafe plaintext.firstRun()
                    let count = min(run.count, min(left, Self.recordBytes &- gathered))
                    unsafe memcpy(scratch + gathered, run.baseAddress!, count)
                    plaintext.drop(count)
                    gathered &+= count
                    left &-= count
                }
                guard unsafe encrypt(UnsafeRawBufferPointer(start: scratch, count: gathered)) else { return false }
            }
            return true
        }
    }

    /// Tells the peer that nothing more follows (close_notify). Reading may go on.
    public func close(output: inout OutputQueue) {
        guard isEstablished, failure == nil else { return }
        unsafe withUnsafeMutablePointer(to: &output) { pointer in
            // SAFETY: as in `read`.
            unsafe sink = unsafe pointer
            defer { unsafe sink = nil }
            ERR_clear_error()
            _ = unsafe SSL_shutdown(ssl)
            ERR_clear_error()
        }
    }

    /// Frees the slots of the empty input queue: for a connection that goes idle.
    public func shrink() { if input.isEmpty { input.releaseStorage() } }

    // MARK: What was agreed; meaningful once established

    /// True if ``read(into:output:)`` may give bytes or an ending without another feed.
    public var pendingPlaintext: Bool { unsafe !input.isEmpty || SSL_pending(ssl) > 0 }

    /// The application protocol.
    public var alpn: ALPN {
        var start: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        // SAFETY: the bytes belong to `ssl`, and are compared here only.
        unsafe SSL_get0_alpn_selected(ssl, &start, &count)
        return unsafe ALPN(bytes: UnsafeBufferPointer(start: start, count: Int(count)))
    }

    /// On a server the name that the client asked for, nil if none; on a client the name given.
    public var serverName: String? {
        if client != nil { return name }
        // SAFETY: the text belongs to `ssl` and is copied.
        return unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name).map { unsafe String(cString: $0) }
    }

    /// `TLSv1.3` or `TLSv1.2`.
    public var version: String { unsafe String(cString: SSL_get_version(ssl)) }

    /// The cipher suite in OpenSSL's spelling.
    public var cipher: String {
        // SAFETY: a static table entry of OpenSSL.
        unsafe SSL_CIPHER_get_name(SSL_get_current_cipher(ssl)).map { unsafe String(cString: $0) } ?? ""
    }

    /// True if the handshake resumed an earlier session.
    public var isResumed: Bool { unsafe SSL_session_reused(ssl) == 1 }

    /// The stapled OCSP response that the server sent, nil if there is none or this is a server.
    var staple: [UInt8]? {
        var start: UnsafePointer<UInt8>?
        // SAFETY: the bytes belong to `ssl` and are copied.
        let count = unsafe mesh_staple(ssl, &start)
        guard let start = unsafe start, count > 0 else { return nil }
        return unsafe Array(UnsafeBufferPointer(start: start, count: count))
    }

    /// Asks the server for a stapled OCSP response; before the handshake.
    func requestStaple() { _ = unsafe mesh_request_staple(ssl) }

    /// What the peer showed, nil if nothing. Made on each call: keep it.
    public var peerCertificate: PeerCertificate? {
        // SAFETY: the certificate belongs to `ssl`; the facts are copies.
        guard let certificate = unsafe SSL_get0_peer_certificate(ssl) else { return nil }
        return unsafe PeerCertificate(certificate, verified: SSL_get_verify_result(ssl) == Int(X509_V_OK))
    }

    // MARK: Called by OpenSSL, through Callbacks.swift

    /// Copies up to `room` fed bytes to `to`; 0 if there are none.
    func takeInput(_ to: UnsafeMutablePointer<CChar>, _ room: Int) -> Int {
        // SAFETY: OpenSSL gives `room` bytes at `to`; the slice lives while it is copied.
        var taken = 0
        while taken < room && !input.isEmpty {
            let count = input.withSlice(at: 0) { slice in
                let count = min(slice.count, room &- taken)
                unsafe memcpy(to + taken, slice.buffer.baseAddress!, count)
                return count
            }
            input.drop(count)
            taken &+= count
        }
        return taken
    }

    /// Appends `count` bytes from `from` to the output of the call in progress.
    func putOutput(_ from: UnsafePointer<CChar>, _ count: Int) {
        // SAFETY: OpenSSL gives `count` bytes at `from`. Without a call in progress (SSL_free) nothing is written.
        guard let sink = unsafe sink else { return }
        let bytes = unsafe UnsafeRawBufferPointer(start: from, count: count)
        unsafe sink.pointee.append(copying: Span(_unsafeBytes: bytes))
    }

    /// True if a server certificate with a good chain carries a name that was asked for.
    func accepts(_ certificate: OpaquePointer) -> Bool {
        guard let client else { return false }
        if let expected { return unsafe shows(expected, certificate) }
        if client.subjectAltNames.isEmpty { return unsafe Self.certificate(certificate, isFor: name) }
        return client.subjectAltNames.contains { wanted in
            switch wanted {
            case .hostname(let name): unsafe Self.certificate(certificate, isFor: name)
            case .uri(let uri): unsafe CertificateFacts(reading: certificate).uris.contains(uri)
            }
        }
    }

    /// True if `certificate` has exactly one URI, as an X.509-SVID has (SPIFFE X509-SVID §2), and that is expected.
    private func shows(_ expected: [String], _ certificate: OpaquePointer) -> Bool {
        let uris = unsafe CertificateFacts(reading: certificate).uris
        if uris.count == 1 && expected.contains(uris[0]) { return true }
        mismatch = uris.count == 1 ? uris[0] : "nobody of a mesh"
        return false
    }

    /// Keeps `session` for the next connection to the same server.
    func keep(_ session: OwnedSession) { client?.sessions.put(session, for: storeKey) }

    // MARK: Private

    /// Plaintext bytes in a full record (RFC 8446 §5.1).
    private static let recordBytes = 16_384

    private static func make(_ context: OpaquePointer) -> OpaquePointer {
        // SAFETY: one reference, owned by the session until its deinit.
        guard let made = unsafe SSL_new(context) else { fatalError("out of memory: SSL_new") }
        return unsafe made
    }

    /// Connects OpenSSL to this object; no ownership passes.
    private func attach() {
        // SAFETY: `deinit` frees `ssl`, and with it the transport, before this object is gone.
        let owner = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe SSL_set_ex_data(ssl, 0, owner)
        guard let transport = unsafe BIO_new(TransportMethod.shared.pointer) else {
            fatalError("out of memory: BIO_new")
        }
        unsafe BIO_set_data(transport, owner)
        unsafe BIO_set_init(transport, 1)
        // The same object for both directions: one reference passes.
        unsafe SSL_set_bio(ssl, transport, transport)
    }

    /// Encrypts `bytes` into the sink, which is set.
    private func encrypt(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard isEstablished, failure == nil else { return false }
        guard let start = bytes.baseAddress, bytes.count > 0 else { return true }
        var written = 0
        let result = unsafe SSL_write_ex(ssl, start, bytes.count, &written)
        if result == 1 { return true }
        _ = fail()
        return false
    }

    /// Remembers what OpenSSL says went wrong.
    private func fail() -> TLSFailure {
        if let failure { return failure }
        var new = unsafe TLSFailure(takingErrorsOf: ssl)
        if let mismatch, let expected {
            let wanted = expected.joined(separator: " or ")
            new = TLSFailure(.identityMismatch, "the endpoint is \(mismatch), expected is \(wanted)")
        }
        failure = new
        return new
    }

    /// True if `certificate` has `name`, a DNS name or an IP address, among its subject alternative names. Common
    /// names do not count (RFC 9525 §2).
    private static func certificate(_ certificate: OpaquePointer, isFor name: String) -> Bool {
        if name.isEmpty { return false }
        // SAFETY: the certificate is alive; the name is read during the call.
        if isAddress(name) { return unsafe X509_check_ip_asc(certificate, name, 0) == 1 }
        let flags = UInt32(X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS)
        return unsafe X509_check_host(certificate, name, 0, flags, nil) == 1
    }

    private static func isAddress(_ name: String) -> Bool {
        var room: (UInt64, UInt64) = (0, 0)
        // SAFETY: inet_pton writes at most 16 bytes.
        return unsafe inet_pton(AF_INET, name, &room) == 1 || inet_pton(AF_INET6, name, &room) == 1
    }
}
