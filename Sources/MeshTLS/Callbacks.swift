import COpenSSL
import Glibc
import MeshCore

// Every function that OpenSSL calls, each only finding its owner and calling a method.
//
// SAFETY, for all of them: the user data of an `SSL_CTX` is the `TLSServerContext` that owns it, the user data of an
// `SSL` and of its BIO is the `TLSSession` that owns it. Each owner frees its C object in `deinit`, so it is alive
// whenever OpenSSL calls, and OpenSSL calls only inside one of our own calls, on that thread. No ownership passes.

@inline(__always)
private func session(of ssl: OpaquePointer?) -> TLSSession? {
    guard let ssl = unsafe ssl, let opaque = unsafe SSL_get_ex_data(ssl, 0) else { return nil }
    return unsafe Unmanaged<TLSSession>.fromOpaque(opaque).takeUnretainedValue()
}

private func serverContext(_ opaque: UnsafeMutableRawPointer?) -> TLSServerContext? {
    guard let opaque = unsafe opaque else { return nil }
    return unsafe Unmanaged<TLSServerContext>.fromOpaque(opaque).takeUnretainedValue()
}

// MARK: Bytes

/// The transport of every connection: no buffer of its own, reading takes from the fed slices, writing appends to the
/// queue of the call in progress.
@safe
struct TransportMethod: @unchecked Sendable {
    /// Made once, lives as long as the process.
    static let shared = TransportMethod()

    let pointer: OpaquePointer

    private init() {
        guard let method = unsafe BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "martlet") else {
            fatalError("out of memory: BIO_meth_new")
        }
        unsafe BIO_meth_set_read_ex(method, transportRead)
        unsafe BIO_meth_set_write_ex(method, transportWrite)
        unsafe BIO_meth_set_ctrl(method, transportControl)
        unsafe pointer = method
    }
}

private func transportRead(
    _ bio: OpaquePointer?, _ to: UnsafeMutablePointer<CChar>?, _ room: Int, _ count: UnsafeMutablePointer<Int>?
) -> Int32 {
    guard let bio = unsafe bio, let to = unsafe to, let count = unsafe count, let owner = unsafe BIO_get_data(bio)
    else { return 0 }
    unsafe mesh_bio_clear_want(bio)
    let session = unsafe Unmanaged<TLSSession>.fromOpaque(owner)
    unsafe count.pointee = session._withUnsafeGuaranteedRef { unsafe $0.takeInput(to, room) }
    if unsafe count.pointee > 0 { return 1 }
    if unsafe !session._withUnsafeGuaranteedRef({ $0.inputEnded }) { unsafe mesh_bio_want_read(bio) }
    return 0
}

private func transportWrite(
    _ bio: OpaquePointer?, _ from: UnsafePointer<CChar>?, _ length: Int, _ count: UnsafeMutablePointer<Int>?
) -> Int32 {
    guard let bio = unsafe bio, let from = unsafe from, let count = unsafe count, let owner = unsafe BIO_get_data(bio)
    else { return 0 }
    unsafe mesh_bio_clear_want(bio)
    unsafe Unmanaged<TLSSession>.fromOpaque(owner)._withUnsafeGuaranteedRef { unsafe $0.putOutput(from, length) }
    unsafe count.pointee = length
    return 1
}

/// A flush always succeeds; everything else is not supported.
private func transportControl(
    _ bio: OpaquePointer?, _ command: Int32, _ number: Int, _ pointer: UnsafeMutableRawPointer?
) -> Int { command == BIO_CTRL_FLUSH ? 1 : 0 }

// MARK: Server

/// Chooses the certificate when the client named a server.
func serverNameChosen(
    _ ssl: OpaquePointer?, _ alert: UnsafeMutablePointer<Int32>?, _ owner: UnsafeMutableRawPointer?
) -> Int32 {
    guard let ssl = unsafe ssl, let context = unsafe serverContext(owner) else { return SSL_TLSEXT_ERR_NOACK }
    return unsafe context.chooseCertificate(for: ssl) ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK
}

/// Chooses the application protocol: the first of ours that the client offers, else a fatal alert (RFC 7301 §3.2).
func protocolChosen(
    _ ssl: OpaquePointer?, _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
    _ length: UnsafeMutablePointer<UInt8>?, _ offered: UnsafePointer<UInt8>?, _ count: UInt32,
    _ owner: UnsafeMutableRawPointer?
) -> Int32 {
    guard let chosen = unsafe chosen, let length = unsafe length, let offered = unsafe offered,
        let context = unsafe serverContext(owner)
    else { return SSL_TLSEXT_ERR_ALERT_FATAL }
    let offer = unsafe UnsafeBufferPointer(start: offered, count: Int(count))
    guard let range = unsafe context.chooseProtocol(offer) else { return SSL_TLSEXT_ERR_ALERT_FATAL }
    // The answer points into the client's own list, which OpenSSL keeps until it has copied the answer.
    unsafe chosen.pointee = offered + range.lowerBound
    unsafe length.pointee = UInt8(truncatingIfNeeded: range.count)
    return SSL_TLSEXT_ERR_OK
}

/// Staples the OCSP response of the certificate in use.
func stapleWanted(_ ssl: OpaquePointer?, _ owner: UnsafeMutableRawPointer?) -> Int32 {
    guard let ssl = unsafe ssl, let context = unsafe serverContext(owner), unsafe context.staple(to: ssl)
    else { return SSL_TLSEXT_ERR_NOACK }
    return SSL_TLSEXT_ERR_OK
}

/// Encrypts or decrypts a session ticket: 0 key unknown, 1 good, 2 good and to be replaced by a new one.
func ticketKeyWanted(
    _ ssl: OpaquePointer?, _ name: UnsafeMutablePointer<UInt8>?, _ vector: UnsafeMutablePointer<UInt8>?,
    _ cipher: OpaquePointer?, _ mac: OpaquePointer?, _ encrypt: Int32
) -> Int32 {
    guard let ssl = unsafe ssl, let name = unsafe name, let vector = unsafe vector, let cipher = unsafe cipher,
        let mac = unsafe mac, let context = unsafe serverContext(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), 0))
    else { return -1 }
    return unsafe context.ticket(ssl, name, vector, cipher, mac, encrypt: encrypt == 1)
}

/// Lets a client in whose certificate is missing or does not verify (`AllowInsecureFallback`); the result stays
/// readable and says so.
func verificationOptional(_ verified: Int32, _ store: OpaquePointer?) -> Int32 { 1 }

/// No private key is ever decrypted here.
func noPassword(
    _ buffer: UnsafeMutablePointer<CChar>?, _ size: Int32, _ writing: Int32, _ owner: UnsafeMutableRawPointer?
) -> Int32 { -1 }

// MARK: Client

/// Checks the names of a server certificate whose chain is good.
func serverVerified(_ verified: Int32, _ store: OpaquePointer?) -> Int32 {
    guard verified == 1, let store = unsafe store, unsafe X509_STORE_CTX_get_error_depth(store) == 0
    else { return verified }
    guard let ssl = unsafe X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()),
        let certificate = unsafe X509_STORE_CTX_get_current_cert(store),
        let session = unsafe session(of: OpaquePointer(ssl))
    else { return 0 }
    if unsafe session.accepts(certificate) { return 1 }
    unsafe X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH)
    return 0
}

/// Keeps what the next connection needs to resume; 1 says that we took over the reference.
func sessionEstablished(_ ssl: OpaquePointer?, _ established: OpaquePointer?) -> Int32 {
    guard let established = unsafe established, let session = unsafe session(of: ssl) else { return 0 }
    session.keep(unsafe OwnedSession(taking: established))
    return 1
}
