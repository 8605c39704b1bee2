import Foundation
import MeshCore
import MeshTLS

/// Judges certificates by the clock of this machine.
enum CertificateChecks {
    /// How long certificates are backdated, for clocks that are behind: no part of their life.
    private static let backdating: Int64 = 60

    /// Whether a certificate is in time. `due` is the part of its life at which whoever keeps it replaces it; a tenth
    /// of the life later it should be there.
    static func time(_ facts: CertificateFacts, _ file: String, due: Double, late: String, ended: String) -> Verdict {
        let now = Int64(Date().timeIntervalSince1970)
        let (start, end) = (facts.notBefore + backdating, facts.notAfter)
        guard now < end else { return .bad("\(file) ended \(ago(end)) ago", remedy: ended) }
        guard now >= facts.notBefore else {
            return .bad("\(file) is valid only in \(ago(facts.notBefore))", remedy: "set this machine's clock right")
        }
        let life = Double(end - start)
        if Double(now - start) > life * (due + 0.1) {
            return .doubtful("\(file) ends in \(ago(end)) and should have been replaced by now", remedy: late)
        }
        return .good("\(file) ends in \(ago(end))")
    }

    /// `45s`, `12m`, `3h`, `5d` between now and `seconds` since 1970.
    private static func ago(_ seconds: Int64) -> String {
        ControlText.age(Date(timeIntervalSince1970: TimeInterval(seconds)))
    }

    /// Whether a chain leads to one of the roots in `bundle`, whatever the time. The first root is the one that signs.
    static func chain(_ certificate: TLSCertificate, to bundle: [UInt8], named file: String) -> Verdict {
        do throws(ProxyError) {
            let roots = pieces(bundle)
            for (index, root) in roots.enumerated() where try certificate.isIssued(underFirstOf: root) {
                return index == 0
                    ? .good("\(certificate.label) leads to the first of \(ControlText.count(roots.count, "root"))")
                    : .good("\(certificate.label) leads to root \(index + 1) of \(roots.count): it is renewed soon")
            }
            return .bad(
                "\(certificate.label) leads to none of the \(roots.count) roots in \(file)",
                remedy: "they are of two meshes, or a root was replaced meanwhile: join again with a token")
        } catch {
            return .bad("\(error)", remedy: "restore the file, or join again with a token")
        }
    }

    /// Each certificate of a file in PEM by itself.
    private static func pieces(_ pem: [UInt8]) -> [[UInt8]] {
        let end = "-----END CERTIFICATE-----"
        return String(decoding: pem, as: UTF8.self).components(separatedBy: end).dropLast()
            .map { Array(($0 + end + "\n").utf8) }
    }
}
