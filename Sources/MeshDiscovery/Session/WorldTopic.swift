/// One type of one ``StateOfTheWorldSession``: what the client asks for, what it has, and what it lacks.
struct WorldTopic: Sendable {
    private struct Change {
        let name: String
        let old: EncodedResource?
        let new: EncodedResource?
    }

    let kind: DiscoveryOrder.Kind
    private(set) var isStarted = false
    private(set) var names: Set<String> = []
    /// The nonce of the last response; empty: there was none. A request with another one is out of date.
    private(set) var nonce = ""
    /// True while the last response has not been answered.
    private(set) var isUnderWay = false

    private var isWildcard = false
    private var hasNamed = false
    private var table: DiscoveryTable?
    /// What the client has, if it accepts what is under way. Shares the bytes of what is in the table, and keeps those of
    /// what is gone for as long as something may refer to it.
    private var held: [String: EncodedResource] = [:]
    private var changes: [Change] = []
    private var forced: Set<String> = []
    private var owesAnswer = false
    private var refusals: [String: DiscoveryRejection] = [:]
    private var batch: Int?

    private var isDirty = true
    private var upserts: [EncodedResource] = []
    private var removals: [String] = []

    init(_ kind: DiscoveryOrder.Kind) { self.kind = kind }

    // MARK: Requests

    /// The names of a request that is up to date. True if other names are asked for now.
    mutating func ask(_ request: DiscoveryDiscoveryRequest) -> Bool {
        let before = (names, isWildcard)
        names = Set(request.resourceNames)
        let hasStar = names.remove("*") != nil
        hasNamed = hasNamed || !request.resourceNames.isEmpty
        // Who never names anything wants everything, of the types that can be had as a whole.
        isWildcard = hasStar || (!hasNamed && kind.isComplete)
        let isChanged = !isStarted || before.0 != names || before.1 != isWildcard
        if isChanged {
            isDirty = true
            // What is asked for no more, the client forgets.
            if !isWildcard { held = held.filter { names.contains($0.key) } }
            // Of a type that is complete every new name has an answer, if only that there is no such thing.
            owesAnswer = owesAnswer || (kind.isComplete && (!isStarted || !names.isSubset(of: before.0)))
        }
        isStarted = true
        return before.0 != names
    }

    /// The client has taken what was under way.
    mutating func accept() {
        for change in changes { refusals[change.name] = nil }
        if let bound = batch { batch = bound * 2 }
        changes = []
        isUnderWay = false
    }

    /// The client has not taken what was under way.
    mutating func reject(_ reason: String) {
        for change in changes where isWildcard || names.contains(change.name) { held[change.name] = change.old }
        if changes.count > 1, !kind.isComplete {
            batch = changes.count / 2
        } else {
            for change in changes {
                refusals[change.name] = DiscoveryRejection(
                    typeURL: kind.url, name: change.name, version: change.new?.version, reason: reason)
            }
            batch = batch.map { $0 * 2 }
        }
        changes = []
        isUnderWay = false
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
    var hasAdditions: Bool { owesAnswer || !upserts.isEmpty }
    /// True if something is to be removed.
    var hasRemovals: Bool { !removals.isEmpty }
    /// True if the client refuses a version that it should have.
    var hasRefusals: Bool { refusals.contains { $0.value.version != nil } }

    /// Finds what is to be sent, if that may have changed.
    mutating func refresh() {
        guard isDirty else { return }
        isDirty = false
        let resources = table?.resources ?? [:]
        refusals = refusals.filter { resources[$0.key]?.version == $0.value.version }
        let wanted = isWildcard ? Array(resources.values) : names.compactMap { resources[$0] }
        upserts = wanted.filter { resource in
            if let refusal = refusals[resource.name], refusal.version == resource.version { return false }
            return held[resource.name]?.version != resource.version || forced.contains(resource.name)
        }.sorted { $0.name < $1.name }
        removals = held.keys.filter { resources[$0] == nil && refusals[$0] == nil }
        if !kind.isComplete {
            // Missing means nothing: what is gone is gone with what refers to it.
            for name in removals { held[name] = nil }
            removals = []
        }
        forced.formIntersection(held.keys)
        if upserts.isEmpty { batch = nil }
    }

    // MARK: Responses

    /// The next response: what is new, and of a type that is complete everything else that the client has.
    mutating func response(
        nonce: String, removing: Bool, renewed: (String) -> Void
    ) -> DiscoveryDiscoveryResponse {
        for resource in removing ? [] : upserts.prefix(batch ?? .max) {
            let old = held.updateValue(resource, forKey: resource.name)
            changes.append(Change(name: resource.name, old: old, new: resource))
            forced.remove(resource.name)
            if old != nil { renewed(resource.name) }
        }
        for name in removing ? removals : [] {
            changes.append(Change(name: name, old: held.removeValue(forKey: name), new: nil))
        }
        let sent = kind.isComplete ? Array(held.values) : changes.compactMap(\.new)
        var version: UInt64 = UInt64(sent.count)
        for resource in sent { version = version &+ resource.fingerprint }
        var response = DiscoveryDiscoveryResponse()
        response.versionInfo = ResourceVersion(bits: version).description
        response.typeURL = kind.url
        response.nonce = nonce
        response.resources = sent.sorted { $0.name < $1.name }.map(\.message.resource)
        self.nonce = nonce
        isUnderWay = true
        owesAnswer = false
        isDirty = true
        return response
    }

    // MARK: Status

    /// What the client is known to have.
    var acked: [String: ResourceVersion] {
        var result = held.mapValues(\.version)
        for change in changes { result[change.name] = change.old?.version }
        return result
    }

    /// What the client refuses; up to date after ``refresh()``.
    var rejections: [DiscoveryRejection] { refusals.sorted { $0.key < $1.key }.map(\.value) }
}

extension EncodedResource {
    /// Of name and version together; sums of it do not depend on an order.
    fileprivate var fingerprint: UInt64 {
        let name = ResourceVersion(of: Array(self.name.utf8)).bits
        return (name ^ (version.bits &* 0x9e37_79b9_7f4a_7c15)) &* 0xd6e8_feb8_6659_fd93
    }
}
