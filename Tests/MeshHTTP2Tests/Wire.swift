import MeshCore

/// A frame as it stands on the wire, right or wrong.
struct Frame: Equatable {
    var type: UInt8
    var flags: UInt8 = 0
    var stream: UInt32 = 0
    var payload: [UInt8] = []

    static let endStream: UInt8 = 1
    static let ack: UInt8 = 1
    static let endHeaders: UInt8 = 4
    static let padded: UInt8 = 8
    static let prioritized: UInt8 = 32

    var bytes: [UInt8] {
        let count = payload.count
        return [UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255), type, flags]
            + big(stream) + payload
    }

    /// The error code of RST_STREAM or GOAWAY.
    var code: UInt32 { type == 3 ? number(payload, 0) : number(payload, 4) }

    static func data(_ stream: UInt32, _ payload: [UInt8] = [], end: Bool = false) -> Frame {
        Frame(type: 0, flags: end ? endStream : 0, stream: stream, payload: payload)
    }
    static func data(_ stream: UInt32, _ text: String, end: Bool = false) -> Frame {
        data(stream, Array(text.utf8), end: end)
    }
    static func headers(
        _ stream: UInt32, _ fields: [(String, String)], end: Bool = true, endHeaders: Bool = true
    ) -> Frame {
        block(stream, HPACK.block(fields), end: end, endHeaders: endHeaders)
    }
    static func block(_ stream: UInt32, _ block: [UInt8], end: Bool = true, endHeaders: Bool = true) -> Frame {
        Frame(
            type: 1, flags: (end ? endStream : 0) | (endHeaders ? Frame.endHeaders : 0), stream: stream, payload: block)
    }
    static func priority(_ stream: UInt32, on other: UInt32 = 0, exclusive: Bool = false, weight: UInt8 = 15) -> Frame {
        Frame(type: 2, stream: stream, payload: big(other | (exclusive ? 1 << 31 : 0)) + [weight])
    }
    static func reset(_ stream: UInt32, _ code: UInt32 = 8) -> Frame {
        Frame(type: 3, stream: stream, payload: big(code))
    }
    static func settings(_ values: [(UInt16, UInt32)] = []) -> Frame {
        Frame(type: 4, payload: values.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 255)] + big($0.1) })
    }
    static let settingsAck = Frame(type: 4, flags: ack)
    static func ping(_ payload: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8], ack: Bool = false) -> Frame {
        Frame(type: 6, flags: ack ? Frame.ack : 0, payload: payload)
    }
    static func goaway(_ last: UInt32 = 0, _ code: UInt32 = 0, stream: UInt32 = 0) -> Frame {
        Frame(type: 7, stream: stream, payload: big(last) + big(code))
    }
    static func window(_ stream: UInt32, _ increment: UInt32) -> Frame {
        Frame(type: 8, stream: stream, payload: big(increment))
    }
    static func continuation(_ stream: UInt32, _ block: [UInt8], endHeaders: Bool = true) -> Frame {
        Frame(type: 9, flags: endHeaders ? Frame.endHeaders : 0, stream: stream, payload: block)
    }

    /// All whole frames in `bytes`.
    static func parse(_ bytes: [UInt8]) -> [Frame] {
        var frames: [Frame] = []
        var at = 0
        while at + 9 <= bytes.count {
            let count = Int(number(bytes, at) >> 8)
            guard at + 9 + count <= bytes.count else { break }
            frames.append(
                Frame(
                    type: bytes[at + 3], flags: bytes[at + 4], stream: number(bytes, at + 5) & 0x7fff_ffff,
                    payload: Array(bytes[at + 9..<at + 9 + count])))
            at += 9 + count
        }
        return frames
    }
}

func big(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(value >> $0 & 255) } }

func number(_ bytes: [UInt8], _ at: Int) -> UInt32 { bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } }

let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

/// Header blocks of literals that are never indexed.
enum HPACK {
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { [0x10] + string(Array($0.0.utf8)) + string(Array($0.1.utf8)) }
    }

    static func literal(_ name: [UInt8], _ value: [UInt8]) -> [UInt8] { [0] + string(name) + string(value) }

    static func string(_ bytes: [UInt8]) -> [UInt8] { integer(bytes.count, prefix: 7, first: 0) + bytes }

    static func integer(_ value: Int, prefix: Int, first: UInt8) -> [UInt8] {
        let limit = 1 << prefix - 1
        if value < limit { return [first | UInt8(value)] }
        var rest = value - limit
        var bytes = [first | UInt8(limit)]
        while rest >= 128 {
            bytes.append(UInt8(rest & 127 | 128))
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}

let get: [(String, String)] = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "shop.example")]
let post: [(String, String)] = [
    (":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "shop.example"),
]
