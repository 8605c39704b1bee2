import MeshTLS

/// The first message of a TLS connection, as it comes, and as the content of records that are right.
enum ClientHelloTarget {
    static func run(_ input: [UInt8]) throws(Finding) {
        try check(input)
        let message =
            [1, UInt8(input.count >> 16 & 255), UInt8(input.count >> 8 & 255), UInt8(input.count & 255)] + input
        let bytes = records(message, of: 16_384)
        let whole = try check(bytes)
        var dice = Dice(input)
        let size = Int.random(in: 1...64, using: &dice)
        let fragmented = ClientHello.peek(records(message, of: size).span)
        try require(fragmented == whole, "in records of \(size) bytes it is \(fragmented), not \(whole)")
    }

    @discardableResult
    private static func check(_ bytes: [UInt8]) throws(Finding) -> ClientHello {
        let whole = ClientHello.peek(bytes.span)
        var hasFailed = false
        var seen: ClientHello?
        for count in cuts(bytes) {
            let part = ClientHello.peek(bytes.span.extracting(first: count))
            switch part {
            case .incomplete: try require(seen == nil && !hasFailed, "incomplete with more bytes than were enough")
            case .notTLS:
                try require(seen == nil, "refused with more bytes than were enough")
                hasFailed = true
            case .hello:
                try require(!hasFailed, "accepted after it was refused")
                try require(seen == nil || seen == part, "what follows the hello changes it")
                seen = part
            }
        }
        if let seen { try require(whole == seen, "what follows the hello changes it") }
        if hasFailed { try require(whole == .notTLS, "accepted after it was refused") }
        if case .hello(let name?, _) = whole {
            let isName = name.utf8.allSatisfy { byte in
                (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || [0x2D, 0x2E, 0x5F].contains(byte)
            }
            try require(isName && !name.isEmpty && !name.contains(".."), "\(name) is no server name")
        }
        return whole
    }

    private static func records(_ message: [UInt8], of size: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = message[...]
        while !rest.isEmpty {
            let part = rest.prefix(size)
            bytes += [22, 3, 1, UInt8(part.count >> 8), UInt8(part.count & 255)] + part
            rest = rest.dropFirst(size)
        }
        return bytes
    }
}
