import Foundation
import MeshCore
import MeshModel

/// Certificates, keys and authorities of Secrets and ConfigMaps, checked for presence and PEM shape; what is inside
/// the PEM is for the TLS library to judge.
final class Material {
    private let documents: DocumentSet
    private let base: String
    /// What of the configuration is not in files.
    private let stored: Set<String>
    private let report: Report
    private var cache: [ObjectID: Certificate?] = [:]
    /// Files that were read or should have been, as paths from the working directory, and what is in them.
    private(set) var files: [String: [UInt8]] = [:]
    /// Where each certificate is written, by its name.
    private(set) var places: [String: Place] = [:]
    /// Largest file with certificates.
    private static let maximumBytes = 1 << 20

    init(_ documents: DocumentSet, base: String, stored: Set<String>, report: Report) {
        self.documents = documents
        self.base = base
        self.stored = stored
        self.report = report
    }

    /// The certificate of Secret `id`; problems of the Secret are reported in it, once.
    func certificate(_ id: ObjectID) -> Certificate? {
        if let known = cache[id] { return known }
        let result = documents.secrets[id].flatMap { certificate($0) }
        cache[id] = .some(result)
        return result
    }

    private func certificate(_ secret: DataDocument) -> Certificate? {
        let place = secret.metadata.place
        if secret.type != "kubernetes.io/tls" {
            report.warning(
                "the Secret has type \(secret.type)", at: place, remedy: "type: kubernetes.io/tls")
        }
        let chain = bytes(secret, "tls.crt", remedy: "the certificate chain in PEM, or file:PATH")
        let key = bytes(secret, "tls.key", remedy: "the private key in PEM, or file:PATH")
        guard let chain, let key else { return nil }
        var isUsable = true
        if !Self.contains(chain.value, "CERTIFICATE") {
            report.error("tls.crt has no PEM certificate", at: chain.place, remedy: "-----BEGIN CERTIFICATE-----")
            isUsable = false
        }
        if Self.contains(key.value, "ENCRYPTED PRIVATE KEY") {
            report.error("the private key is encrypted", at: key.place, remedy: "a key without a pass phrase")
            isUsable = false
        } else if !["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"].contains(where: { Self.contains(key.value, $0) }
        ) {
            report.error("tls.key has no PEM private key", at: key.place, remedy: "-----BEGIN PRIVATE KEY-----")
            isUsable = false
        }
        guard isUsable else { return nil }
        places["\(secret.metadata.namespace)/\(secret.metadata.name)"] = chain.place
        let staple = secret.entries["tls.ocsp-staple"] == nil ? nil : bytes(secret, "tls.ocsp-staple", remedy: "")
        return Certificate(
            name: "\(secret.metadata.namespace)/\(secret.metadata.name)", chain: chain.value, privateKey: key.value,
            ocspStaple: staple?.value)
    }

    /// The authorities in `ca.crt` of ConfigMap or Secret `id`.
    func authorities(_ id: ObjectID) -> [UInt8]? {
        guard let source = id.kind == "Secret" ? documents.secrets[id] : documents.configMaps[id],
            let pem = bytes(source, "ca.crt", remedy: "the authorities' certificates in PEM, or file:PATH")
        else { return nil }
        if Self.contains(pem.value, "CERTIFICATE") { return pem.value }
        report.error("ca.crt has no PEM certificate", at: pem.place, remedy: "-----BEGIN CERTIFICATE-----")
        return nil
    }

    private func bytes(_ source: DataDocument, _ key: String, remedy: String) -> Located<[UInt8]>? {
        guard let entry = source.entries[key] else {
            let close = Suggestion.closest(to: key, in: source.entries.keys)
            report.error(
                "\(source.metadata.id.kind) has no \(key)", at: source.metadata.place,
                remedy: close.map { "rename \"\($0)\" to \"\(key)\"" } ?? remedy)
            return nil
        }
        switch entry.value {
        case .bytes(let bytes): return Located(bytes, at: entry.place)
        case .file(let path):
            guard !stored.contains(entry.place.file) else {
                report.error(
                    "\(key) is a file, and the object is not in one", at: entry.place,
                    remedy: "write the PEM itself, or keep the object in the control plane's directory")
                return nil
            }
            let full = fullPath(path, from: entry.place.file)
            files[full] = files[full] ?? []
            do throws(ProxyError) {
                let bytes = try ConfigurationFiles.read(full, limit: Self.maximumBytes)
                files[full] = bytes
                return Located(bytes, at: entry.place)
            } catch {
                report.error(
                    error.description, at: entry.place,
                    remedy: path.hasPrefix("/") ? "correct the path" : "a path relative to this YAML file")
                return nil
            }
        }
    }

    /// `path` as seen from the YAML file `file`.
    private func fullPath(_ path: String, from file: String) -> String {
        if path.hasPrefix("/") { return path }
        let directory = file.lastIndex(of: "/").map { "/" + file[..<$0] } ?? ""
        return base == "." && directory.isEmpty ? path : base + directory + "/" + path
    }

    private static func contains(_ bytes: [UInt8], _ label: String) -> Bool {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let begin = text.range(of: "-----BEGIN \(label)-----") else { return false }
        return text[begin.upperBound...].contains("-----END \(label)-----")
    }
}
