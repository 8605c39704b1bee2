import Foundation
import MeshCore
import MeshGatewayAPI
import MeshModel
import MeshTLS

/// What only the TLS library can tell about certificates: whether they can be read, fit their keys and are in time.
///
/// `MeshGatewayAPI` checks that PEM is there; with this, `martlet validate` says today what a start would say.
struct CertificateCheck {
    private var found: [Diagnostic] = []
    private var checked: Set<String> = []
    private let origins: [String: Place]

    /// What is wrong with the certificates and authorities of `model`.
    static func diagnostics(_ model: Model, origins: [String: Place]) -> [Diagnostic] {
        var check = CertificateCheck(origins: origins)
        for section in model.listeners.flatMap(\.sections) { check.section(section) }
        for backend in model.backends { check.backend(backend) }
        return check.found
    }

    private init(origins: [String: Place]) { self.origins = origins }

    private mutating func section(_ section: Section) {
        guard let tls = section.tls else { return }
        let place = Self.place(section.origin)
        for certificate in tls.certificates { self.certificate(certificate, place) }
        if let authorities = tls.clientValidation?.authorities { self.authorities(authorities, place) }
        guard case .exact(let name) = section.hostname,
            let context = try? TLSServerContext(certificates: tls.certificates.map { Self.loaded($0) }),
            !context.serves(name)
        else { return }
        add(
            .warning, "no certificate of \(section.name) is for \(name)", at: place,
            remedy: "a certificate with the name \(name), or another hostname")
    }

    private mutating func backend(_ backend: Backend) {
        guard let tls = backend.tls else { return }
        let place = Self.place(backend.origin)
        if let certificate = tls.clientCertificate { self.certificate(certificate, place) }
        if case .authorities(let pem) = tls.trust { authorities(pem, place) }
    }

    private mutating func certificate(_ certificate: Certificate, _ fallback: Place) {
        guard checked.insert(certificate.name).inserted else { return }
        let place = origins["certificate/\(certificate.name)"] ?? fallback
        do throws(ProxyError) {
            let context = try TLSServerContext(certificates: [Self.loaded(certificate)])
            for warning in context.warnings { add(.warning, warning, at: place, remedy: "renew it") }
        } catch {
            add(.error, error.description, at: place, remedy: "a certificate and the key that was made with it")
        }
    }

    private mutating func authorities(_ pem: [UInt8], _ place: Place) {
        guard checked.insert(String(decoding: pem, as: UTF8.self)).inserted else { return }
        do throws(ProxyError) {
            _ = try TLSClientContext(trust: .authorities(caPEM: pem))
        } catch {
            add(.error, "the authorities cannot be used: \(error)", at: place, remedy: "certificates in PEM")
        }
    }

    private mutating func add(_ severity: Diagnostic.Severity, _ message: String, at place: Place, remedy: String) {
        let diagnostic = Diagnostic(severity: severity, place: place, message: message, remedy: remedy)
        if !found.contains(diagnostic) { found.append(diagnostic) }
    }

    private static func loaded(_ certificate: Certificate) -> TLSCertificate {
        TLSCertificate(
            chainPEM: certificate.chain, keyPEM: certificate.privateKey, ocspStaple: certificate.ocspStaple,
            label: "Secret \(certificate.name)")
    }

    private static func place(_ origin: Origin?) -> Place {
        Place(file: origin?.file ?? "", line: max(origin?.line ?? 1, 1), column: 1)
    }
}
