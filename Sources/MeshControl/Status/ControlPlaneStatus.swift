import Foundation
import MeshCore
import MeshGatewayAPI
import MeshModel

/// What runs, and who is who, as the API has them.
extension ControlPlane {
    /// As ``ControlOperations`` has it.
    public func status(_ filter: API.ObjectFilter) async throws -> [API.ObjectStatus] {
        var resources: [String: Set<Catalogue.Key>] = [:]
        for (id, objects) in translation?.objects ?? [:] {
            for object in objects { resources[object, default: []].insert(.init(type: id.type, name: id.name)) }
        }
        let conditions = Dictionary(grouping: translation?.conditions ?? [], by: \.object)
        var result: [API.ObjectStatus] = []
        for object in current.objects.values where filter.fits(API.ObjectID(object.key)) {
            let parts = (conditions[object.key.text] ?? []).map { status in
                API.ObjectStatus.Part(
                    part: status.part,
                    conditions: status.conditions.map {
                        API.ObjectStatus.Condition(
                            type: $0.type, status: $0.status, reason: $0.reason, message: $0.message)
                    })
            }
            result.append(
                API.ObjectStatus(
                    id: API.ObjectID(object.key), source: object.source, revision: object.changed, parts: parts,
                    proxies: await distributor.deliveries(resources[object.key.text] ?? [])))
        }
        return result.sorted { $0.id < $1.id }
    }

    /// As ``ControlOperations`` has it.
    public func proxies() async throws -> [API.Proxy] { await distributor.proxies() }

    /// As ``ControlOperations`` has it.
    public func proxy(_ id: API.ProxyID) async throws -> API.ProxyDetail {
        guard let proxy = await distributor.proxy(id) else { throw Self.missing(id) }
        return proxy
    }

    /// As ``ControlOperations`` has it.
    public func compiledModel(_ id: API.ProxyID) async throws -> API.CompiledModel {
        do throws(ProxyError) {
            if let model = try await distributor.model(id) {
                return try API.CompiledModel(model, origins: translation?.origins ?? [:])
            }
        } catch {
            throw API.Problem(.conflict, error.description)
        }
        throw Self.missing(id)
    }

    private static func missing(_ id: API.ProxyID) -> API.Problem {
        API.Problem(.notFound, "there is no proxy \(id.text)", remedy: "martlet proxies lists them")
    }

    /// As ``ControlOperations`` has it.
    public func traffic(seconds: Int?) async throws -> API.Traffic { await distributor.passed(seconds: seconds) }

    // MARK: Identity

    private func authorityOrProblem() throws(API.Problem) -> Authority {
        guard let authority else { throw API.Problem(.unavailable, "this control plane has no authority") }
        return authority
    }

    /// As ``ControlOperations`` has it.
    public func createToken(_ request: API.TokenRequest) async throws -> API.NewToken {
        guard await distributor.service(of: request.role) != nil else {
            throw API.Problem(
                .notFound, "there is no \(request.role)", remedy: "apply its Workload or Gateway first")
        }
        return try await authorityOrProblem().createToken(request)
    }

    /// As ``ControlOperations`` has it.
    public func tokens() async throws -> [API.Token] { try await authorityOrProblem().tokens() }

    /// As ``ControlOperations`` has it.
    public func revokeToken(_ id: String) async throws { try await authorityOrProblem().revokeToken(id) }

    /// As ``ControlOperations`` has it.
    public func trustBundle() async throws -> API.TrustBundle { try await authorityOrProblem().trustBundle() }

    /// As ``ControlOperations`` has it.
    public func rootRotation() async throws -> API.RootRotation {
        var rotation = try await authorityOrProblem().rotationStatus()
        if rotation.phase == .begun { rotation.waitingFor = await distributor.withoutBundle() }
        return rotation
    }

    /// As ``ControlOperations`` has it.
    public func advanceRootRotation(_ step: API.RootRotation.Step) async throws -> API.RootRotation {
        let authority = try authorityOrProblem()
        switch step {
        case .begin: try await authority.beginRotation()
        case .activate:
            let waiting = await distributor.withoutBundle()
            guard waiting.isEmpty else {
                let names = waiting.prefix(5).map(\.text).joined(separator: ", ")
                throw API.Problem(
                    .conflict, "\(waiting.count) proxies do not believe in the new root yet: \(names)",
                    remedy: "wait until they have confirmed the trust bundle: martlet proxies")
            }
            try await authority.activateRotation()
        case .finish:
            let known = await distributor.proxies()
            var services: [String: String] = [:]
            for role in Set(known.map(\.id.role)) { services[role] = await distributor.service(of: role) }
            try await authority.finishRotation(known: known) { [services] in services[$0] }
        }
        return try await rootRotation()
    }

    /// As ``ControlOperations`` has it.
    public func revoke(_ request: API.Revocation) async throws -> API.RevocationResult {
        let authority = try authorityOrProblem()
        switch (request.serial, request.proxy) {
        case (let serial?, nil): return try await authority.revoke(serial: serial)
        case (nil, let proxy?):
            let service = await distributor.service(of: proxy.role) ?? "\(proxy.namespace)/\(proxy.name)"
            return try await authority.revoke(service: service, instance: proxy.instance)
        case (nil, nil), (.some, .some):
            throw API.Problem(.invalid, "a revocation names either a proxy or a serial number")
        }
    }

    // MARK: The control plane itself

    /// As ``ControlOperations`` has it.
    public func health() async -> API.Health {
        var checks = [
            API.Health.Check(
                name: "store", isGood: storeProblem == nil, message: storeProblem?.description ?? ""),
            API.Health.Check(name: "configuration", isGood: startProblem == nil, message: startProblem ?? ""),
        ]
        if directory != nil {
            checks.append(
                API.Health.Check(
                    name: "directory", isGood: directoryProblem == nil, message: directoryProblem ?? ""))
        }
        if let authority {
            let remarks = await authority.remarks()
            checks.append(
                API.Health.Check(
                    name: "authority", isGood: remarks.isEmpty, message: remarks.joined(separator: "; ")))
        }
        return API.Health(
            isReady: await distributor.isReady, checks: checks, programVersion: Release.version,
            trustDomain: trustDomain, revision: revision, started: started,
            connectedProxies: await distributor.connectedCount)
    }

    /// As ``ControlOperations`` has it.
    public func metrics() async -> String {
        metrics.set(.unsettled, await distributor.unsettledCount())
        guard let authority else { return metrics.text() }
        return metrics.text() + Self.text(await authority.identityCounts)
    }

    private static func text(_ counts: IdentityCounts) -> String {
        var lines: [String] = []
        for (name, help, values) in [
            ("martlet_control_joins_total", "Attempts to join with a token, by what became of them.", counts.joins),
            ("martlet_control_signs_total", "Attempts to renew a certificate, by what became of them.", counts.signs),
        ] {
            lines.append("# HELP \(name) \(help)")
            lines.append("# TYPE \(name) counter")
            for (result, count) in values.sorted(by: { "\($0.key)" < "\($1.key)" }) {
                lines.append("\(name){result=\"\(result)\"} \(count)")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
