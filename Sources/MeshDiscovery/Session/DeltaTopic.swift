/// One type of one ``DiscoverySession``: what the client asks for, what it has, and what it lacks.
struct DeltaTopic: Sendable {
    /// One resource in a response that has not been answered.
    private struct Change {
        let name: String
        let old: ResourceVersion?
        let new: ResourceVersion?
    }

    /// A version, nil for a removal, that the client does not take.
    private struct Refusal {
        let version: ResourceVersion?
        let reason: String
    }

    let kind: DiscoveryOrder.Kind
    /// True once the client has asked for the type.
    private(set) var isStarted = false
    private(set) var isWildcard = false
    /// What is asked for by name.
    private(set) var names: Set<String> = []
    /// The nonce of the response that has not been answered.
    private(set) var nonce: String?

    private var table: DiscoveryTable?
    /// What the client has, if it accepts what is under way.
    private var held: [String: ResourceVersion] = [:]
    private var changes: [Change] = []
    /// Names that the client knows not to be there.
    private var absent: Set<String> = []
    /// Names that must be answered although nothing has changed.
    private var forced: Set<String> = []
    /// True until the first answer, which is sent even if it is empty: the client then knows that it has all.
    private var owesAnswer = false
    private var refusals: [String: Refusal] = [:]
    /// After a rejection: at most so many in one response, to find the one that is refused.
    private var batch: Int?

    // What is to be sent, up to date unless isDirty.
    private var isDirty = true
    private var upserts: [String] = []
    private var missing: [String] = []
    private var removals: [String] = []

    init(_ kind: DiscoveryOrder.Kind) { self.kind = kind }

    // MARK: Requests

    /// The first request for the type on the stream.
    mutating func start(_ request: DiscoveryDeltaDiscoveryRequest) {
        isStarted = true
        isDirty = true
        for name in request.resourceNamesSubscribe where name != "*" { names.insert(name) }
        // Who never names anything wants everything.
        isWildcard = request.resourceNamesSubscribe.isEmpty || request.resourceNamesSubscribe.contains("*")
        owesAnswer = isWildcard
        for (name, version) in request.initialResourceVersions where isWildcard || names.contains(name) {
            held[table?.resources[name]?.name ?? name] = ResourceVersion(version) ?? .unknown
        }
    }

    /// Changes of a later request. True if other names are asked for now.
    mutating func change(_ request: DiscoveryDeltaDiscoveryRequest) -> Bool {
        var isChanged = false
        for name in request.resourceNamesUnsubscribe {
            isDirty = true
            if name == "*" {
                isWildcard = false
                held = held.filter { names.contains($0.key) }
            } else if names.remove(name) != nil {
                isChanged = true
                forget(name)
            }
        }
        for name in request.resourceNamesSubscribe {
            isDirty = true
            if name == "*" {
                // Whoever asks again has lost what there was.
                if isWildcard { forced.formUnion(held.keys) }
                isWildcard = true
                owesAnswer = true
            } else {
                if names.insert(name).inserted { isChanged = true }
                forced.insert(name)
                refusals[name] = nil
            }
        }
        return isChanged
    }

    private mutating func forget(_ name: String) {
        absent.remove(name)
        if isWildcard {
            // It may be seen all the same: the client cannot know, and waits for word.
            forced.insert(name)
        } else {
            held[name] = nil
            forced.remove(name)
        }
    }

    /// The client has taken what was under way.
    mutating func accept() {
        for change in changes { refusals[change.name] = nil }
        if let bound = batch { batch = bound * 2 }
        changes = []
        nonce = nil
    }

    /// The client has not taken what was under way, and has what it had before.
    ///
    /// One refused resource must not hold up the others of its response: they are sent again in smaller responses, down
    /// to the one that is refused by itself.
    mutating func reject(_ reason: String) {
        for change in changes where isWildcard || names.contains(change.name) { held[change.name] = change.old }
        if changes.count > 1 {
            batch = changes.count / 2
        } else if let change = changes.first {
            refusals[change.name] = Refusal(version: change.new, reason: reason)
            batch = batch.map { $0 * 2 }
        }
        changes = []
        nonce = nil
        isDirty = true
    }

    // MARK: Resources

    /// What the client may see from now on.
    mutating func update(_ table: DiscoveryTable?) {
        guard self.table !== table else { return }
        self.table = table
        isDirty = true
    }

    /// The resource called `name` goes out again, if the client has it.
    mutating func renew(_ name: String) {
        guard held[name] != nil else { return }
        forced.insert(name)
        isDirty = true
    }

    /// True if something new, or an answer, is to be sent.
    var hasAdditions: Bool { owesAnswer || !upserts.isEmpty || !missing.isEmpty }
    /// True if something is to be removed.
    var hasRemovals: Bool { !removals.isEmpty }
    /// True if the client refuses a version that it should have.
    var hasRefusals: Bool { refusals.contains { $0.value.version != nil } }

    /// Finds what is to be sent, if that may have changed.
    mutating func refresh() {
        guard isDirty else { return }
        isDirty = false
        (upserts, missing, removals) = ([], [], [])
        let resources = table?.resources ?? [:]
        if !refusals.isEmpty {
            refusals = refusals.filter { name, refusal in
                guard isWildcard || names.contains(name) else { return false }
                return resources[name]?.version == refusal.version
            }
        }
        if isWildcard {
            for resource in resources.values where lacks(resource) { upserts.append(resource.name) }
        } else {
            for name in names { if let resource = resources[name], lacks(resource) { upserts.append(resource.name) } }
        }
        for name in names where resources[name] == nil && held[name] == nil && !absent.contains(name) {
            missing.append(name)
        }
        for name in forced where resources[name] == nil && held[name] == nil && !missing.contains(name) {
            missing.append(name)
        }
        for name in held.keys where resources[name] == nil && refusals[name] == nil { removals.append(name) }
        if upserts.isEmpty, removals.isEmpty { batch = nil }
        upserts.sort()
        missing.sort()
        removals.sort()
    }

    private func lacks(_ resource: EncodedResource) -> Bool {
        if let refusal = refusals[resource.name], refusal.version == resource.version { return false }
        return held[resource.name] != resource.version || forced.contains(resource.name)
    }

    // MARK: Responses

    /// The response with what is new, as much as `maxBytes` lets; at least one resource if there is any.
    mutating func additions(
        nonce: String, maxBytes: Int, renewed: (String) -> Void
    ) -> DiscoveryDeltaDiscoveryResponse {
        var response = begin(nonce)
        var bytes = 0
        for name in upserts.prefix(batch ?? .max) {
            guard let resource = table?.resources[name] else { continue }
            if bytes > 0, bytes + resource.byteCount > maxBytes { break }
            bytes += resource.byteCount
            response.resources.append(resource.message)
            let old = held.updateValue(resource.version, forKey: name)
            changes.append(Change(name: name, old: old, new: resource.version))
            forced.remove(name)
            absent.remove(name)
            if old != nil { renewed(name) }
        }
        for name in missing {
            response.removedResources.append(name)
            forced.remove(name)
            if names.contains(name) { absent.insert(name) }
        }
        owesAnswer = false
        return response
    }

    /// The response that takes away what is gone.
    mutating func withdrawals(nonce: String) -> DiscoveryDeltaDiscoveryResponse {
        var response = begin(nonce)
        for name in removals.prefix(batch ?? .max) {
            response.removedResources.append(name)
            changes.append(Change(name: name, old: held.removeValue(forKey: name), new: nil))
            forced.remove(name)
            if names.contains(name) { absent.insert(name) }
        }
        return response
    }

    private mutating func begin(_ nonce: String) -> DiscoveryDeltaDiscoveryResponse {
        var response = DiscoveryDeltaDiscoveryResponse()
        response.typeURL = kind.url
        response.nonce = nonce
        self.nonce = nonce
        isDirty = true
        return response
    }

    // MARK: Status

    /// What the client is known to have.
    var acked: [String: ResourceVersion] {
        var result = held.filter { $0.value != .unknown }
        for change in changes { result[change.name] = change.old == .unknown ? nil : change.old }
        return result
    }

    /// Names of what the client has neither accepted nor rejected; up to date after ``refresh()``.
    var pending: [String] { Set(upserts + removals + changes.map(\.name)).sorted() }

    /// What the client refuses; up to date after ``refresh()``.
    var rejections: [DiscoveryRejection] {
        refusals.sorted { $0.key < $1.key }.map { name, refusal in
            DiscoveryRejection(typeURL: kind.url, name: name, version: refusal.version, reason: refusal.reason)
        }
    }
}
