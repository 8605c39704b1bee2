import Foundation
import MeshCore
import SwiftASN1
import X509

/// Files in PEM of certificates and keys. Every error names the file, what is wrong with it, and never what a key says.
public enum CertificateFile {
    /// The certificates in the file at `path`, in their order; at least one.
    public static func certificates(_ path: String) throws(ProxyError) -> [Certificate] {
        let text = try text(path)
        do {
            let documents = try PEMDocument.parseMultiple(pemString: text).filter {
                $0.discriminator == Certificate.defaultPEMDiscriminator
            }
            guard !documents.isEmpty else {
                throw ProxyError("\(path) has no certificate: it must begin with -----BEGIN CERTIFICATE-----")
            }
            return try documents.map { try Certificate(pemDocument: $0) }
        } catch let error as ProxyError {
            throw error
        } catch {
            throw ProxyError("\(path) has a certificate that cannot be read (\(error)): write it as PEM once more")
        }
    }

    /// The key in the file at `path`: EC (P-256, P-384, P-521), RSA or Ed25519, not encrypted.
    public static func key(_ path: String) throws(ProxyError) -> Certificate.PrivateKey {
        let text = try text(path)
        guard !text.contains("ENCRYPTED") else {
            throw ProxyError("\(path) is encrypted: write it without a passphrase (openssl pkey -in … -out …)")
        }
        // The text of the library's error is not passed on: it may quote the key.
        let documents = (try? PEMDocument.parseMultiple(pemString: text)) ?? []
        guard let document = documents.first(where: { $0.discriminator.hasSuffix("PRIVATE KEY") }),
            let key = try? Certificate.PrivateKey(pemDocument: document)
        else {
            throw ProxyError("\(path) has no private key that can be read: a key in PEM, EC, RSA or Ed25519")
        }
        return key
    }

    /// Refuses a key that anybody but its owner can read.
    public static func checkMode(_ path: String) throws(ProxyError) {
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        guard let mode = attributes?[.posixPermissions] as? Int, mode & 0o077 != 0 else { return }
        throw ProxyError("\(path) can be read by others (mode \(String(mode, radix: 8))): chmod 600 \(path)")
    }

    /// Writes a new file with mode 0600 and brings it to the disk; there must be none of this name.
    public static func writeSecret(_ text: String, _ path: String) throws(ProxyError) {
        guard !FileManager.default.fileExists(atPath: path) else {
            throw ProxyError("\(path) exists already, and a key is never overwritten: remove it if it is not needed")
        }
        do {
            guard
                FileManager.default.createFile(
                    atPath: path, contents: nil, attributes: [.posixPermissions: 0o600])
            else { throw CocoaError(.fileWriteUnknown) }
            let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
            try handle.write(contentsOf: Data(text.utf8))
            try handle.synchronize()
            try handle.close()
        } catch {
            try? FileManager.default.removeItem(atPath: path)
            throw ProxyError("\(path) cannot be written: check its directory and the space on its disk")
        }
    }

    /// Writes a file that is not secret, in one step.
    public static func write(_ text: String, _ path: String) throws(ProxyError) {
        do {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            throw ProxyError("\(path) cannot be written: check its directory and the space on its disk")
        }
    }

    /// Makes a directory that only its owner can enter, if there is none.
    public static func makeDirectory(_ path: String) throws(ProxyError) {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw ProxyError("the directory \(path) cannot be made: \(error.localizedDescription)")
        }
    }

    /// Certificates in PEM, in their order.
    public static func pem(_ certificates: [Certificate]) -> String {
        certificates.compactMap { try? $0.serializeAsPEM().pemString }.map { $0 + "\n" }.joined()
    }

    private static func text(_ path: String) throws(ProxyError) -> String {
        guard let data = FileManager.default.contents(atPath: path) else {
            let exists = FileManager.default.fileExists(atPath: path)
            throw ProxyError("\(path) \(exists ? "cannot be read: check its mode and owner" : "does not exist")")
        }
        return String(decoding: data, as: UTF8.self)
    }
}
