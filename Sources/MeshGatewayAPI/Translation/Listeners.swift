import MeshModel

/// The sockets of the model, and the conditions of Gateways.
extension Linker {
    /// One listener for each address of `slots`, with the sections that share it.
    func listeners(of slots: [ListenerSlot]) -> [Listener] {
        var result: [Listener] = []
        var index: [ListenAddress: Int] = [:]
        var owners: [ListenAddress: (slot: ListenerSlot, policy: ListenerPolicyDocument?)] = [:]
        for slot in slots where slot.conflict == nil {
            let policy = listenerPolicies(slot)
            for (address, name) in zip(slot.addresses, slot.sectionNames) {
                if let owner = owners[address], owner.policy?.metadata.id != policy?.metadata.id {
                    report.error(
                        "the listeners \(owner.slot.name) and \(slot.name) share the socket \(address) but not one "
                            + "ListenerPolicy", at: slot.listener.place, remedy: "let the policy target both")
                }
                let position: Int
                if let known = index[address] {
                    position = known
                } else {
                    position = result.count
                    index[address] = position
                    owners[address] = (slot, policy)
                    result.append(listener(address, policy))
                }
                result[position].sections.append(section(slot, policy, name: name))
            }
        }
        return result
    }

    private func section(_ slot: ListenerSlot, _ policy: ListenerPolicyDocument?, name: String) -> Section {
        var tls = slot.tls
        if let version = policy?.minimumVersion { tls?.minimumVersion = version.value == .tls13 ? .tls13 : .tls12 }
        return Section(
            name: name, hostname: slot.hostname, protocol: slot.sectionProtocol, tls: tls, routes: slot.routes,
            streamRoutes: slot.streamRoutes, origin: slot.listener.place.origin)
    }

    private func listener(_ address: ListenAddress, _ policy: ListenerPolicyDocument?) -> Listener {
        var result = Listener(address: address)
        guard let policy else { return result }
        let key = "listener/\(address)/"
        if let role = policy.role {
            result.role = role.value == .edge ? .edge : .sidecar
            remember(key + "role", role.place)
        }
        if let proxyProtocol = policy.proxyProtocol {
            result.proxyProtocol = proxyProtocol.value
            remember(key + "proxyProtocol", proxyProtocol.place)
        }
        if let hops = policy.trustedHops {
            result.trustedHops = hops.value
            remember(key + "trustedHops", hops.place)
        }
        if let version = policy.minimumVersion { remember(key + "tls.minimumVersion", version.place) }
        result.limits = policy.limits
        for (name, place) in policy.limitPlaces { remember(key + "limits.\(name)", place) }
        return result
    }

    // MARK: ListenerPolicy

    /// Which policy a listener has: one for the listener itself before one for its Gateway, the older of two.
    func findListenerPolicies() -> (ListenerSlot) -> ListenerPolicyDocument? {
        struct Key: Hashable {
            var gateway: ObjectID
            var section: String?
        }
        var owners: [Key: ListenerPolicyDocument] = [:]
        for policy in documents.listenerPolicies.sorted(by: { Precedence.isBefore($0.metadata, $1.metadata) }) {
            for target in policy.targets {
                let id = target.reference.target(from: policy.metadata.namespace)
                let key = Key(gateway: id, section: target.sectionName)
                let matching = slots.contains {
                    $0.gateway.metadata.id == id
                        && (target.sectionName ?? $0.listener.name.value) == $0.listener.name.value
                }
                var condition = Condition("Accepted", true, reason: "Accepted")
                if !matching {
                    let message = "\(id.description)\(target.sectionName.map { "#\($0)" } ?? "") does not exist"
                    condition = Condition("Accepted", false, reason: "TargetNotFound", message: message)
                    report.warning(message, at: target.reference.place, remedy: "correct the targetRef")
                } else if let winner = owners[key] {
                    let message = "\(winner.metadata.id.description) is for the same target"
                    condition = Condition("Accepted", false, reason: "Conflicted", message: message)
                    report.warning(message, at: target.reference.place, remedy: "remove one of them")
                } else {
                    owners[key] = policy
                }
                add(
                    ObjectStatus(
                        object: policy.metadata.id.description, part: "target \(id.description)",
                        place: policy.metadata.place, conditions: [condition]))
            }
        }
        return { slot in
            let id = slot.gateway.metadata.id
            return owners[Key(gateway: id, section: slot.listener.name.value)] ?? owners[Key(gateway: id, section: nil)]
        }
    }

    // MARK: Conditions

    /// Conditions of Gateways and of their listeners.
    func gatewayStatuses() -> [ObjectStatus] {
        documents.gateways.flatMap { gateway -> [ObjectStatus] in
            let own = slots.filter { $0.gateway.metadata.id == gateway.metadata.id }
            let bad = own.filter { $0.conflict != nil || $0.unresolved != nil }
            let serves = own.contains { $0.conflict == nil }
            let message = bad.isEmpty ? "" : "not valid: " + bad.map(\.listener.name.value).joined(separator: ", ")
            let status = ObjectStatus(
                object: gateway.metadata.id.description, part: "", place: gateway.metadata.place,
                conditions: [
                    Condition(
                        "Accepted", serves, reason: bad.isEmpty ? "Accepted" : "ListenersNotValid", message: message),
                    Condition("Programmed", serves && !report.hasErrors, reason: serves ? "Programmed" : "Invalid"),
                ])
            return [status] + own.map { slotStatus($0) }
        }
    }

    private func slotStatus(_ slot: ListenerSlot) -> ObjectStatus {
        let count = slot.attached.count
        var conditions = [
            Condition(
                "Accepted", slot.conflict == nil, reason: slot.conflict?.reason ?? "Accepted",
                message: "\(count) attached \(count == 1 ? "route" : "routes")"),
            Condition(
                "ResolvedRefs", slot.unresolved == nil, reason: slot.unresolved?.reason ?? "ResolvedRefs",
                message: slot.unresolved?.message ?? ""),
            Condition(
                "Programmed", slot.conflict == nil && !report.hasErrors,
                reason: slot.conflict == nil && !report.hasErrors ? "Programmed" : "Invalid"),
        ]
        if let conflict = slot.conflict {
            conditions.append(Condition("Conflicted", true, reason: conflict.reason, message: conflict.message))
        }
        return ObjectStatus(
            object: slot.gateway.metadata.id.description, part: "listener \(slot.listener.name.value)",
            place: slot.listener.place, conditions: conditions)
    }
}
