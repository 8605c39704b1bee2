import COpenSSL
import MeshCore

// One owner per OpenSSL object: the reference it was made with is given back in `deinit`, and nowhere else.
//
// Swift may release an owner after the last use of the owner, before the pointer read from it is used. So a pointer is
// read either from an owner that `self` holds for longer than the call, or by `lend`, which keeps the owner alive.

/// Owns an `SSL_CTX`. Not changed after its maker returned, which is what makes sharing it between threads safe.
@safe
final class OwnedContext {
    let pointer: OpaquePointer

    /// A context with what every context has (see `mesh_ctx_harden`).
    init(method: OpaquePointer) {
        // SAFETY: `SSL_CTX_new` gives one reference, which this object owns until `deinit`.
        guard let made = unsafe SSL_CTX_new(method) else { fatalError("out of memory: SSL_CTX_new") }
        unsafe pointer = made
        unsafe mesh_ctx_harden(made)
    }

    deinit { unsafe SSL_CTX_free(pointer) }
}

/// Owns one reference to an `X509`.
@safe
final class OwnedCertificate {
    let pointer: OpaquePointer

    /// Takes over one reference.
    init(taking pointer: OpaquePointer) { unsafe self.pointer = pointer }

    deinit { unsafe X509_free(pointer) }
}

/// Owns one reference to an `EVP_PKEY`.
@safe
final class OwnedKey {
    let pointer: OpaquePointer

    /// Takes over one reference.
    init(taking pointer: OpaquePointer) { unsafe self.pointer = pointer }

    deinit { unsafe EVP_PKEY_free(pointer) }
}

/// Owns an `X509_STORE`: certificates that are trusted.
@safe
final class OwnedStore {
    let pointer: OpaquePointer

    init() {
        guard let made = unsafe X509_STORE_new() else { fatalError("out of memory: X509_STORE_new") }
        unsafe pointer = made
    }

    deinit { unsafe X509_STORE_free(pointer) }

    /// Runs `body` while the store is certain to live.
    func lend<Result>(_ body: (OpaquePointer) -> Result) -> Result {
        withExtendedLifetime(self) { unsafe body(pointer) }
    }
}

/// Owns one reference to an `SSL_SESSION`: what a client needs to resume. Immutable once established.
@safe
final class OwnedSession: @unchecked Sendable {
    let pointer: OpaquePointer

    /// Takes over one reference.
    init(taking pointer: OpaquePointer) { unsafe self.pointer = pointer }

    deinit { unsafe SSL_SESSION_free(pointer) }

    /// Runs `body` while the session is certain to live.
    func lend<Result>(_ body: (OpaquePointer) -> Result) -> Result {
        withExtendedLifetime(self) { unsafe body(pointer) }
    }

    /// TLS 1.3 tickets are used once, so that a listener cannot link two connections (RFC 8446 §C.4).
    var isSingleUse: Bool { unsafe SSL_SESSION_get_protocol_version(pointer) >= TLS1_3_VERSION }
}

/// Owns a memory BIO, for loading and printing only; connections never use one.
@safe
struct MemoryBIO: ~Copyable {
    let pointer: OpaquePointer

    /// An empty one, to print into.
    init() {
        guard let made = unsafe BIO_new(BIO_s_mem()) else { fatalError("out of memory: BIO_new") }
        unsafe pointer = made
    }

    /// One that holds a copy of `bytes`.
    init(_ bytes: [UInt8]) {
        self.init()
        // SAFETY: BIO_write copies `bytes` before it returns.
        unsafe bytes.withUnsafeBytes { _ = unsafe BIO_write(pointer, $0.baseAddress, Int32(clamping: $0.count)) }
    }

    deinit { unsafe BIO_free(pointer) }

    /// What was printed, as text.
    var text: String {
        var start: UnsafePointer<CChar>?
        let count = unsafe mesh_bio_memory(pointer, &start)
        guard let start = unsafe start, count > 0 else { return "" }
        // SAFETY: the BIO owns `count` bytes from `start` on until it changes.
        return unsafe String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
    }
}
