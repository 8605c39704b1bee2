import MeshModel

/// Follows the references between documents and builds the model from them, in the order: listeners, policies, routes,
/// backends, conditions.
final class Linker {
    let documents: DocumentSet
    let report: Report
    let material: Material
    let tlsPolicies: TLSPolicies
    let traffic: TrafficPolicies
    let backends: BackendTable
    let purpose: Translator.Purpose
    let mesh: MeshIndex
    let resources = ResourceList()
    var slots: [ListenerSlot] = []
    private(set) var origins: [String: Place] = [:]
    private var objectStatuses: [ObjectStatus] = []
    var claims = ClaimTable()
    /// The route whose kind each port of a Service has.
    var governors: [Governed: Metadata] = [:]
    private(set) var listenerPolicies: (ListenerSlot) -> ListenerPolicyDocument? = { _ in nil }

    init(
        _ documents: DocumentSet, base: String, stored: Set<String>, purpose: Translator.Purpose, report: Report
    ) {
        self.documents = documents
        self.report = report
        self.purpose = purpose
        mesh = MeshIndex(documents, purpose: purpose, report: report)
        material = Material(documents, base: base, stored: stored, report: report)
        tlsPolicies = TLSPolicies(documents, material: material, report: report)
        traffic = TrafficPolicies(documents, report: report)
        backends = BackendTable(documents, policies: tlsPolicies, traffic: traffic, mesh: mesh, report: report)
    }

    /// The model, and ``resources``; of use only if nothing was reported as an error. Nil for a control plane.
    func link() -> Model? {
        checkGateways()
        slots = documents.gateways.flatMap { gateway in
            gateway.listeners.map { ListenerSlot(gateway, $0, report: report) }
        }
        findConflicts()
        for slot in slots { resolveTLS(slot) }
        let routes = sortedRoutes()
        for route in routes { attach(route) }
        listenerPolicies = findListenerPolicies()
        let settings = settings()
        var model: Model?
        if purpose == .proxy {
            let proxy = Model(settings: settings, listeners: listeners(of: slots), backends: backends.backends)
            check(proxy)
            model = proxy
        }
        // What only a mesh uses comes behind, so that the proxy of the model does not look after it.
        for route in routes { attachToServices(route) }
        linkMesh(settings)
        origins.merge(backends.origins) { first, _ in first }
        for (name, place) in material.places { remember("certificate/\(name)", place) }
        return model
    }

    /// Finds what only a mistake of ours can be.
    func check(_ model: Model) {
        guard !report.hasErrors else { return }
        for problem in model.problems() {
            let place = documents.objects.first?.place ?? Place(file: "", line: 1, column: 1)
            report.error("the translation is not valid, which is a bug in martlet: \(problem)", at: place)
        }
    }

    private func checkGateways() {
        guard purpose == .proxy, documents.gateways.isEmpty, !report.hasErrors else { return }
        let place = documents.objects.first?.place ?? Place(file: "", line: 1, column: 1)
        if documents.isMesh {
            report.warning(
                "there is no Gateway, so nothing is served but by the proxies of a mesh", at: place,
                remedy: "martlet-control serve --config DIR")
        } else {
            report.error(
                "there is no Gateway, so nothing is served", at: place,
                remedy: "kind: Gateway with listeners: [{name: http, protocol: HTTP, port: 8080}]")
        }
    }

    /// Every condition, by the order of reading.
    var statuses: [ObjectStatus] {
        let order = Dictionary(
            documents.objects.enumerated().map { ($0.element.id.description, $0.offset) },
            uniquingKeysWith: { a, _ in a })
        return (gatewayStatuses() + objectStatuses + tlsPolicies.statuses + traffic.statuses + mesh.statuses)
            .enumerated().sorted {
                (order[$0.element.object] ?? 0, $0.offset) < (order[$1.element.object] ?? 0, $1.offset)
            }.map(\.element)
    }

    /// Adds the conditions of an object under one parent.
    func add(_ status: ObjectStatus) { objectStatuses.append(status) }

    /// Remembers where a setting was written.
    func remember(_ key: String, _ place: Place) { origins[key] = place }

    /// Remembers where a setting was written, in place of what another document said.
    func note<Target>(_ setting: Setting<Target>, under key: String) { origins.note(setting, under: key) }

    // MARK: Conflicts

    /// Of listeners that cannot share a socket the first one serves. Gateways that are proxies of their own share none.
    private func findConflicts() {
        guard purpose == .proxy else {
            for gateway in documents.gateways {
                findConflicts(slots.filter { $0.gateway.metadata.id == gateway.metadata.id })
            }
            return
        }
        findConflicts(slots)
    }

    private func findConflicts(_ slots: [ListenerSlot]) {
        var owners: [ListenAddress: [ListenerSlot]] = [:]
        for slot in slots {
            for address in slot.addresses {
                for other in owners[address] ?? [] where slot.conflict == nil {
                    slot.conflict = Self.conflict(slot, with: other, at: address)
                }
            }
            guard slot.conflict == nil else {
                if let conflict = slot.conflict {
                    report.warning(
                        "listener \(slot.listener.name.value) is not served: \(conflict.message)",
                        at: slot.listener.place, remedy: "another port, or another hostname")
                }
                continue
            }
            for address in slot.addresses { owners[address, default: []].append(slot) }
        }
    }

    private static func conflict(
        _ slot: ListenerSlot, with other: ListenerSlot, at address: ListenAddress
    ) -> (reason: String, message: String)? {
        let where_ = "listener \(other.name) at \(other.listener.place.fileAndLine) has \(address)"
        func family(_ slot: ListenerSlot) -> SectionProtocol {
            slot.sectionProtocol == .https ? .tls : slot.sectionProtocol
        }
        if family(slot) != family(other) || family(slot) == .tcp {
            return ("ProtocolConflict", "\(where_) with protocol \(other.listener.kind.value.rawValue)")
        }
        guard slot.hostname == other.hostname else { return nil }
        let host = slot.hostname == .any ? "for every host" : "for \(slot.hostname)"
        return ("HostnameConflict", "\(where_) \(host)")
    }

    // MARK: TLS

    private func resolveTLS(_ slot: ListenerSlot) {
        guard slot.terminatesTLS, let tls = slot.listener.tls else { return }
        var certificates: [Certificate] = []
        for reference in tls.certificates {
            if let id = resolve(reference, kinds: ["Secret"], for: slot), let found = material.certificate(id) {
                certificates.append(found)
            }
        }
        if certificates.count < tls.certificates.count || certificates.isEmpty, slot.unresolved == nil {
            slot.unresolved = ("InvalidCertificateRef", "a certificate cannot be used")
        }
        var server = ServerTLS(certificates: certificates)
        server.alpn = slot.sectionProtocol == .https ? ServerTLS.defaultALPN : []
        let gateway = slot.gateway
        let validation = gateway.clientValidationByPort[slot.listener.port.value] ?? gateway.clientValidation
        if slot.sectionProtocol == .https, let validation {
            var authorities: [UInt8] = []
            for reference in validation.authorities {
                guard let id = resolve(reference, kinds: ["ConfigMap", "Secret"], for: slot),
                    let pem = material.authorities(id)
                else { continue }
                authorities += pem + (pem.last == 0x0A ? [] : [0x0A])
            }
            if authorities.isEmpty, slot.unresolved == nil {
                slot.unresolved = ("InvalidCACertificateRef", "the authorities of clients cannot be used")
            }
            server.clientValidation = ClientValidation(
                authorities: authorities,
                mode: validation.mode == .validOnly ? .allowValidOnly : .allowInsecureFallback)
        }
        slot.tls = server
    }

    /// Follows a reference of a Gateway to a Secret or ConfigMap; what does not exist or is not permitted is an error,
    /// because a listener without its certificate cannot start.
    func resolve(_ reference: ObjectReference, kinds: [String], for slot: ListenerSlot) -> ObjectID? {
        let gateway = slot.gateway.metadata.id
        let id = reference.target(from: gateway.namespace)
        guard id.group == APIGroup.core, kinds.contains(id.kind) else {
            slot.unresolved = ("InvalidCertificateRef", "\(id.kind) cannot hold it")
            report.error(
                "\(id.kind) cannot hold it", at: reference.place, remedy: "kind: \(kinds.joined(separator: " or "))")
            return nil
        }
        if id.namespace != gateway.namespace, !documents.grants.contains(where: { $0.permits(gateway, id) }) {
            let message = "no ReferenceGrant lets Gateway of namespace \(gateway.namespace) refer to \(id.description)"
            slot.unresolved = ("RefNotPermitted", message)
            report.error(
                message, at: reference.place,
                remedy: "a ReferenceGrant in namespace \(id.namespace) from Gateway to \(id.kind)")
            return nil
        }
        let all = id.kind == "Secret" ? documents.secrets : documents.configMaps
        guard all[id] != nil else {
            slot.unresolved = ("InvalidCertificateRef", "\(id.description) does not exist")
            let near = all.keys.filter { $0.namespace == id.namespace }.map(\.name)
            let close = Suggestion.closest(to: id.name, in: near)
            report.error(
                "\(id.description) does not exist", at: reference.place,
                remedy: close.map { "did you mean \"\($0)\"?" } ?? "a \(id.kind) of this name")
            return nil
        }
        return id
    }

    // MARK: Settings

    private func settings() -> ProxySettings {
        var result = ProxySettings()
        guard let document = documents.settings.first else { return result }
        for other in documents.settings.dropFirst() {
            report.error(
                "there are two ProxySettings; the first is at \(document.metadata.place.fileAndLine)",
                at: other.metadata.place, remedy: "merge them")
        }
        if let timeout = document.drainTimeout {
            if timeout.value == 0 {
                report.error("drainTimeout must not be 0", at: timeout.place, remedy: "for example 1s")
            }
            result.drainTimeout = .nanoseconds(timeout.value)
            remember("settings/drainTimeout", timeout.place)
        }
        if let interval = document.resolutionInterval {
            result.resolutionInterval = .nanoseconds(interval.value)
            remember("settings/resolutionInterval", interval.place)
        }
        if let log = document.accessLog {
            result.accessLog = log.value
            remember("settings/accessLog", log.place)
        }
        if let zone = document.zone {
            result.zone = zone.value
            remember("settings/zone", zone.place)
        }
        result.overload = document.overload
        for (name, place) in document.overloadPlaces { remember("settings/overload.\(name)", place) }
        return result
    }
}

extension Duration {
    /// `count` nanoseconds, which may be more than `Int64` holds.
    static func nanoseconds(_ count: UInt64) -> Duration {
        .seconds(count / 1_000_000_000) + .nanoseconds(Int64(count % 1_000_000_000))
    }
}
