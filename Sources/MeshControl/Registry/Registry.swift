import Foundation
internal import MeshDiscovery

/// Which instances there are, and which of them are endpoints. No I/O and no clock: times are given.
///
/// An instance is an endpoint while it says that it is ready. One that is unready or drains leaves at once. One whose
/// stream breaks stays for ``grace``, in which it may come back; if most streams break at once it is the network that
/// failed, and all stay for ``patience``. So do those that the store remembers when the control plane starts, so that
/// its restart empties nothing.
struct Registry {
    typealias Instant = ContinuousClock.Instant

    /// Why an instance is not let in.
    struct Refusal: Error, Equatable {
        /// For people on both sides.
        var message: String
    }

    /// How long an instance counts without its stream.
    static let grace = Duration.seconds(2)
    /// The same, when it is not to blame.
    static let patience = Duration.seconds(60)
    /// Fewer lost streams than this are no failure of the network.
    static let massLoss = 3
    /// How far clocks may differ without a warning, in seconds.
    static let toleratedSkew: Int64 = 60

    /// All that are known, by their names.
    private(set) var instances: [StoredInstance.ID: RegisteredInstance] = [:]
    /// How many are connected.
    private(set) var connectedCount = 0
    private var names: [UInt64: StoredInstance.ID] = [:]
    /// When streams broke within the last ``grace``.
    private var losses: [Instant] = []
    /// Instances that leave some time, unless something happens.
    private var leaving: Set<StoredInstance.ID> = []
    private var changed: Set<StoredInstance.ID> = []

    /// Remembers what the store does; to be called before anybody connects.
    mutating func remember(_ stored: [StoredInstance], at now: Instant) {
        for instance in stored {
            let hello = InstanceHello(id: instance.id, address: instance.address, zone: instance.zone)
            instances[instance.id] = RegisteredInstance(
                hello: hello, presence: .remembered(until: now.advanced(by: Self.patience)), serving: instance.ports)
            leaving.insert(instance.id)
            changed.insert(instance.id)
        }
    }

    /// An instance has connected by the stream `stream`. Returns the older stream of the same program that this one
    /// replaces. Refuses an instance of a name that is taken.
    mutating func connect(
        _ hello: InstanceHello, stream: UInt64, at now: Instant, date: Date
    ) throws(Refusal) -> UInt64? {
        var replaced: UInt64?
        let before = instances[hello.id]
        if let before, case .connected(let old) = before.presence {
            guard before.hello.boot == hello.boot else {
                throw Refusal(
                    message: "the instance \(hello.id.instance) of \(hello.id.role) is already connected from "
                        + "\(before.hello.address): give this one another name (--instance), or stop the other")
            }
            replaced = old
            names[old] = nil
            connectedCount -= 1
        }
        var instance = RegisteredInstance(hello: hello, presence: .connected(stream: stream))
        // What it serves stays until it says something else, unless it is known to be another program by now.
        if let before, isSameProgram(before, hello) {
            instance.serving = before.serving
            instance.readiness = before.readiness
            instance.reason = before.reason
        }
        if before?.stored != instance.stored { changed.insert(hello.id) }
        instance.connectedSince = replaced == nil ? date : before?.connectedSince
        instance.lastSeen = date
        instances[hello.id] = instance
        names[stream] = hello.id
        leaving.remove(hello.id)
        connectedCount += 1
        return replaced
    }

    private func isSameProgram(_ before: RegisteredInstance, _ hello: InstanceHello) -> Bool {
        switch before.presence {
        case .connected, .lost: before.hello.boot == hello.boot
        case .remembered: true
        case .gone: false
        }
    }

    /// An instance says how it is. Nothing happens if the stream has been replaced.
    mutating func update(
        stream: UInt64, readiness: Readiness, reason: String, ports: [StoredInstance.Port], date: Date
    ) {
        guard let id = names[stream], var instance = instances[id] else { return }
        instance.readiness = readiness
        instance.reason = reason
        instance.lastSeen = date
        let serving = readiness == .ready ? ports : []
        if serving != instance.serving { changed.insert(id) }
        instance.serving = serving
        instances[id] = instance
    }

    /// Something came from an instance.
    mutating func touch(stream: UInt64, date: Date) {
        if let id = names[stream] { instances[id]?.lastSeen = date }
    }

    /// A stream has ended. Nothing happens if it has been replaced.
    mutating func disconnect(stream: UInt64, at now: Instant) {
        guard let id = names.removeValue(forKey: stream), var instance = instances[id] else { return }
        connectedCount -= 1
        // Who said goodbye is not lost.
        guard !instance.serving.isEmpty || instance.readiness != .draining else {
            instance.presence = .gone
            instances[id] = instance
            return
        }
        instance.presence = .lost(at: now, until: now.advanced(by: Self.grace))
        instances[id] = instance
        leaving.insert(id)
        losses.removeAll { now - $0 > Self.grace }
        losses.append(now)
        if losses.count >= Self.massLoss, losses.count * 2 > connectedCount + losses.count { wait(from: now) }
    }

    /// Too many were lost: whoever is missing is given more time.
    private mutating func wait(from now: Instant) {
        for id in leaving {
            guard case .lost(let at, _)? = instances[id]?.presence else { continue }
            instances[id]?.presence = .lost(at: at, until: at.advanced(by: Self.patience))
        }
    }

    /// Takes out whose time is up.
    mutating func advance(to now: Instant) {
        for id in leaving {
            guard let until = deadline(id), until <= now else { continue }
            leaving.remove(id)
            if instances[id]?.serving.isEmpty == false { changed.insert(id) }
            if case .remembered? = instances[id]?.presence {
                instances[id] = nil
            } else {
                instances[id]?.presence = .gone
                instances[id]?.serving = []
            }
        }
    }

    /// When ``advance(to:)`` has something to do; nil: not before something else happens.
    var nextDeadline: Instant? { leaving.compactMap { deadline($0) }.min() }

    private func deadline(_ id: StoredInstance.ID) -> Instant? {
        switch instances[id]?.presence {
        case .lost(_, let until), .remembered(let until): until
        case .connected, .gone, nil: nil
        }
    }

    /// The instances whose endpoints have changed since the last call.
    mutating func takeChanges() -> Set<StoredInstance.ID> {
        defer { changed = [] }
        return changed
    }

    /// Forgets instances that have been gone since before `date`.
    mutating func forget(before date: Date) {
        instances = instances.filter { _, instance in
            instance.presence != .gone || (instance.lastSeen ?? .distantPast) >= date
        }
    }

    /// The instance of a stream.
    func instance(of stream: UInt64) -> RegisteredInstance? { names[stream].flatMap { instances[$0] } }
}
