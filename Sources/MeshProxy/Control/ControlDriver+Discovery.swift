import MeshCore
import MeshDiscovery
import MeshModel
import MeshNet
import MeshTLS

/// Discovery: resources in, a model out to the data plane, and the last good ones on disk.
extension ControlDriver {
    private static var saveInterval: UInt64 { 1_000_000_000 }
    private static var retryInterval: UInt64 { 2_000_000_000 }

    /// Serves what was last served well, if there is something.
    func restore() {
        var problems: [String] = []
        if let bytes = state.lastGood(&problems) {
            do throws(ProxyError) {
                discovery = DiscoveryClient(resuming: try LastGood.decode(bytes), node: node)
                serveFirst(try model(of: discovery.resources))
            } catch {
                problems.append("\(state.path)/last-good cannot be served: \(error); moved aside as last-good.corrupt")
                state.rejectLastGood()
                discovery = DiscoveryClient(node: node)
            }
        } else {
            discovery = DiscoveryClient(node: node)
        }
        for problem in problems { say(problem) }
        let count = UInt64(problems.count)
        status.update { $0.facts.damagedFiles += count }
        noteVersions()
    }

    private var node: DiscoveryNode {
        var node = DiscoveryNode()
        node.id = state.instance
        node.cluster = options.role.description
        node.userAgentName = "martlet-proxy"
        node.userAgentVersion = Release.version
        return node
    }

    func beginDiscovery() {
        guard let call = connection?.call(.discovery) else { return }
        discoveryCall = call
        for request in discovery.start() { call.send(ControlMessages.discovery(request)) }
    }

    /// What came in one read is published as one model, and accepted or rejected one by one if that fails.
    func discovered(_ messages: [[UInt8]]) {
        var updates: [DiscoveryUpdate] = []
        for message in messages {
            guard let response = ControlMessages.discovery(message) else {
                connection?.end("the control plane's discovery is not readable")
                return
            }
            let update = discovery.receive(response)
            if let reason = update.rejection { reject(update, reason) } else { updates.append(update) }
        }
        if updates.isEmpty { return }
        if let reason = take(updates) {
            guard updates.count > 1 else { return reject(updates[0], reason) }
            for update in updates {
                if let reason = take([update]) { reject(update, reason) }
            }
        }
        worker.pools.trim()
    }

    /// Publishes with `updates` and accepts them; what is wrong if that cannot be, and nothing is changed then.
    private func take(_ updates: [DiscoveryUpdate]) -> String? {
        var trial = discovery
        let requests = updates.compactMap { trial.accept($0) }
        let resources = trial.resources
        // At the very first start nothing is served before all of it is there.
        let isReady = trial.isComplete && resources[options.role.type, options.role.name] != nil
        if served != nil || isReady {
            do throws(ProxyError) {
                let model = try model(of: resources)
                if served == nil { serveFirst(model) } else { try serve(model) }
            } catch {
                return error.description
            }
        }
        discovery = trial
        status.update { $0.facts.acks += UInt64(updates.count) }
        for request in requests { discoveryCall?.send(ControlMessages.discovery(request)) }
        noteVersions()
        answerQuestions()
        isUnsaved = true
        save()
        return nil
    }

    private func reject(_ update: DiscoveryUpdate, _ reason: String) {
        status.update {
            $0.facts.nacks += 1
            $0.rejection = reason
        }
        proxy.noteRejection()
        say("the control plane's configuration is rejected, nothing is changed: \(reason)")
        if let request = discovery.reject(update, reason: reason) {
            discoveryCall?.send(ControlMessages.discovery(request))
        }
    }

    private func noteVersions() {
        let versions = discovery.versions
        status.update {
            $0.versions = versions.map {
                VersionedResource(type: $0.type, name: $0.name, version: $0.version, bytes: [])
            }
        }
    }

    // MARK: Publishing

    /// What is to be served by `resources`.
    private func model(of resources: ResourceSet) throws(ProxyError) -> Model {
        var model = try Assembly.model(from: resources, role: options.role, overrides: overrides)
        model.place = place(resources)
        if let bundle = resources.trustBundle {
            _ = try TrustBundle.facts(bundle)
            adopt(bundle: bundle)
        }
        return model
    }

    /// Serves for the first time. What is in the way is not the configuration's fault, which had been checked before it
    /// came here: a port, perhaps, that another process has. It is tried again until it works.
    func serveFirst(_ model: Model) {
        do throws(ProxyError) {
            try serve(model)
            unserved = nil
        } catch {
            sayOnce(
                "cannot serve yet, trying again: \(error)"
                    + " (several proxies on one machine: each with an --outbound of its own)")
            unserved = (model, error.description)
            schedule(serveTimer, after: Self.retryInterval)
        }
    }

    private var overrides: InstanceOverrides {
        var overrides = options.overrides
        overrides.instance = state.instance
        if !options.zone.isEmpty { overrides.zone = options.zone }
        return overrides
    }

    private func place(_ resources: ResourceSet) -> MeshPlace {
        let workload = resources.workloads[options.role.name]
        let service = identity?.name.name ?? workload?.service ?? options.role.name
        return MeshPlace(service: service, version: workload?.labels["version"] ?? "", instance: state.instance)
    }

    /// The same configuration with the identity of now.
    func republish() {
        guard let served else { return }
        do throws(ProxyError) {
            try serve(served)
        } catch {
            say("the new identity cannot be served: \(error)")
        }
    }

    private func serve(_ wanted: Model) throws(ProxyError) {
        let isFirst = served == nil
        if isFirst {
            savedPorts = state.ports
            formerPorts = savedPorts
        }
        var model = atFormerPorts(wanted)
        model.identity = identity?.meshIdentity
        if model == served { return }
        do throws(ProxyError) {
            try proxy.publish(isWithdrawn ? withoutInbound(model) : model)
        } catch {
            // Somebody else may have taken such a port meanwhile.
            guard isFirst, !formerPorts.isEmpty else { throw error }
            formerPorts = [:]
            model = wanted
            model.identity = identity?.meshIdentity
            try proxy.publish(model)
        }
        let ports = proxy.boundPorts().filter { inboundPort($0.key) != nil }
        if !isWithdrawn, ports != savedPorts, (try? state.savePorts(ports)) != nil { savedPorts = ports }
        served = model
        shared.model = model
        shared.outbound = outboundAddress(model)
        status.update { $0.isConfigured = true }
        if isFirst {
            cancel(waitingTimer)
            let addresses = proxy.addresses.map(\.description).joined(separator: ", ")
            notify(.configured("serving at \(addresses)"))
        }
        readinessMayHaveChanged()
    }

    /// `model` with its inbound listeners where they were the last time, if the system is to choose: callers that cannot
    /// hear of another port meanwhile find it there.
    private func atFormerPorts(_ model: Model) -> Model {
        var model = model
        for index in model.listeners.indices where model.listeners[index].address == .any(port: 0) {
            guard let section = model.listeners[index].sections.first?.name, let port = formerPorts[section] else {
                continue
            }
            model.listeners[index].address = .any(port: port)
        }
        return model
    }

    /// Where the application calls others from.
    private func outboundAddress(_ model: Model) -> String? {
        let name = "\(options.role.name)/outbound"
        guard let listener = model.listeners.first(where: { $0.sections.contains { $0.name == name } }) else {
            return nil
        }
        switch listener.address {
        case .any: return proxy.boundAddress(ofSection: name).map { "127.0.0.1:\($0.port)" }
        case .ip: return proxy.boundAddress(ofSection: name)?.description
        case .unix(let path): return "unix:\(path)"
        }
    }

    /// Takes the listeners for the mesh away.
    func withdrawInbound() {
        guard !isWithdrawn else { return }
        isWithdrawn = true
        guard let served else { return }
        do throws(ProxyError) {
            try proxy.publish(withoutInbound(served))
        } catch {
            say("the listeners for the mesh cannot be taken away: \(error)")
        }
    }

    private func withoutInbound(_ model: Model) -> Model {
        var model = model
        model.listeners.removeAll { $0.sections.contains { inboundPort($0.name) != nil } }
        return model
    }

    /// The service's port of an inbound section: `NAMESPACE/WORKLOAD/inbound-PORT`.
    func inboundPort(_ section: String) -> UInt16? {
        let prefix = "\(options.role.name)/inbound-"
        return section.hasPrefix(prefix) ? UInt16(section.dropFirst(prefix.count)) : nil
    }

    // MARK: The last good configuration

    /// Saves what is served, on a thread of its own: a disk may be slow. Once a second at most.
    func save() {
        guard isUnsaved, !isSaving, served != nil else { return }
        let age = Clock.now().nanoseconds(since: savedAt)
        if savedAt.nanoseconds > 0, age < Self.saveInterval {
            return schedule(saveTimer, after: Self.saveInterval - age)
        }
        isUnsaved = false
        isSaving = true
        savedAt = Clock.now()
        let (state, versions, reference) = (state, discovery.versions, DriverReference(self))
        do throws(ProxyError) {
            try LoopThread.spawn(name: "last-good") {
                var problem: String?
                do throws(ProxyError) {
                    try state.saveLastGood(try LastGood.encode(versions))
                } catch {
                    problem = error.description
                }
                reference.post { [problem] in $0.saved(problem) }
            }
        } catch {
            saved(error.description)
        }
    }

    private func saved(_ problem: String?) {
        isSaving = false
        if let problem {
            status.update { $0.facts.failedSaves += 1 }
            say("the last good configuration is not saved: \(problem)")
            isUnsaved = true
            schedule(saveTimer, after: 10_000_000_000)
        } else {
            save()
        }
    }
}
