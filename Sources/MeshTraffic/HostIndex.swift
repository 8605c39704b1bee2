import MeshCore
import MeshHTTP
import MeshModel

/// Host patterns by hash: exact names, wildcards, and the pattern of every host, in groups that do not see each other.
///
/// A look-up gives what matches a name in the standard's order: the exact name, then the longest wildcard, the next
/// longest, and so on, then every host. Names are compared without case, and a dot at the end does not count.
struct HostIndex: Sendable {
    /// Where a look-up stands; start with a fresh one for every name.
    struct Walk {
        /// -1 before the exact name, then the byte from which the next dot is looked for.
        fileprivate var position = -1
    }

    private enum Kind: UInt8 { case exact, wildcard, any }

    private struct Entry: Sendable {
        let kind: Kind
        let group: Int32
        let value: Int32
        /// The name, or a wildcard's suffix with its dot.
        let text: ByteRange
    }

    private var text: [UInt8] = []
    private var entries: [Entry] = []
    private var slots: [Int32]
    /// Bytes of the longest wildcard's suffix with its dot; 0: there are no wildcards.
    private var longestSuffix = 0
    /// Bytes of the longest exact name; -1: there are none.
    private var longestName = -1

    /// An index of `patterns`; of two equal ones in a group the first counts.
    init(_ patterns: [(group: Int, hostname: Hostname, value: Int)]) {
        var capacity = 16
        while capacity < patterns.count * 2 { capacity *= 2 }
        slots = Array(repeating: -1, count: capacity)
        for pattern in patterns {
            let kind: Kind
            let name: [UInt8]
            switch pattern.hostname {
            case .exact(let host): (kind, name) = (.exact, Array(host.utf8))
            case .wildcard(let suffix): (kind, name) = (.wildcard, Array(("." + suffix).utf8))
            case .any: (kind, name) = (.any, [])
            }
            insert(kind, group: Int32(pattern.group), name, value: Int32(pattern.value))
        }
    }

    private mutating func insert(_ kind: Kind, group: Int32, _ name: [UInt8], value: Int32) {
        guard find(kind, group: group, name.span) < 0 else { return }
        switch kind {
        case .exact: longestName = max(longestName, name.count)
        case .wildcard: longestSuffix = max(longestSuffix, name.count)
        case .any: break
        }
        var slot = slot(kind, group, name.span)
        while slots[slot] >= 0 { slot = (slot &+ 1) & (slots.count &- 1) }
        slots[slot] = Int32(entries.count)
        entries.append(Entry(kind: kind, group: group, value: value, text: ByteRange(text.count, name.count)))
        text += name
    }

    /// The value of the pattern that matches `name` best, or -1.
    func best(group: Int, _ name: Span<UInt8>) -> Int {
        var walk = Walk()
        return next(&walk, group: group, name)
    }

    /// The value of the next pattern of `group` that matches `name`, or -1 when there are no more.
    func next(_ walk: inout Walk, group: Int, _ name: Span<UInt8>) -> Int {
        let group = Int32(truncatingIfNeeded: group)
        if walk.position < 0 {
            walk.position = max(1, name.count &- longestSuffix)
            if name.count <= longestName {
                let found = find(.exact, group: group, name)
                if found >= 0 { return found }
            }
        }
        while walk.position < name.count {
            let start = walk.position
            walk.position &+= 1
            guard name[start] == UInt8(ascii: ".") else { continue }
            let found = find(.wildcard, group: group, name.extracting(droppingFirst: start))
            if found >= 0 { return found }
        }
        if walk.position == Int.max { return -1 }
        walk.position = .max
        return find(.any, group: group, name.extracting(first: 0))
    }

    private func find(_ kind: Kind, group: Int32, _ name: Span<UInt8>) -> Int {
        var slot = slot(kind, group, name)
        while slots[slot] >= 0 {
            let entry = entries[Int(slots[slot])]
            if entry.kind == kind, entry.group == group, name.equalsIgnoringCase(text.span.extracting(entry.text)) {
                return Int(entry.value)
            }
            slot = (slot &+ 1) & (slots.count &- 1)
        }
        return -1
    }

    private func slot(_ kind: Kind, _ group: Int32, _ name: Span<UInt8>) -> Int {
        var hash = ByteHash()
        var index = 0
        while index < name.count {
            hash.add(name[index].lowercased)
            index &+= 1
        }
        return hash.slot(seed: UInt64(UInt32(bitPattern: group)) << 2 | UInt64(kind.rawValue), of: slots.count)
    }
}

/// FNV-1a: what configuration put into a table is looked up by what strangers send. They choose which slots are read,
/// never which are filled, so that the hash needs no secret.
struct ByteHash {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    @inline(__always)
    mutating func add(_ byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }

    /// A slot of a table of `capacity`, a power of two, in which `seed` tells equal bytes apart.
    @inline(__always)
    func slot(seed: UInt64, of capacity: Int) -> Int {
        let mixed = (value ^ (seed &* 0xd6e8_feb8_6659_fd93)) &* 0x9e37_79b9_7f4a_7c15
        return Int(truncatingIfNeeded: mixed >> 32) & (capacity &- 1)
    }
}
