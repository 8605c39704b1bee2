private import FoundationEssentials
import MeshCore
internal import SwiftProtobuf

/// The compiled form of a model: a header, then a `martlet.v1.Model` message (proto/martlet/v1/model.proto).
///
/// | bytes | what |
/// |---|---|
/// | 6 | `89 4D 52 54 4C 0A`: no text, and broken by transfers that change line ends |
/// | 2 | version, big-endian: 2; the number changes whenever another release would misread the message |
/// | 8 | bytes of the message, big-endian |
/// | 8 | FNV-1a, 64 bits, of the message: a file cut short or damaged is noticed, not half believed |
///
/// It holds private keys, if the model does: whoever writes it to a file makes it readable for its owner only.
extension Model {
    private static let magic: [UInt8] = [0x89, 0x4D, 0x52, 0x54, 0x4C, 0x0A]
    private static let version: UInt64 = 2
    private static let headerSize = 24

    /// The compiled form; the same bytes for equal models.
    public func encode() throws(ProxyError) -> [UInt8] {
        let message: [UInt8]
        do {
            var options = BinaryEncodingOptions()
            options.useDeterministicOrdering = true
            message = try protobuf().serializedBytes(options: options)
        } catch {
            throw ProxyError("the model cannot be written: \(error)")
        }
        var file = Self.magic
        Self.append(Self.version, 2, to: &file)
        Self.append(UInt64(message.count), 8, to: &file)
        Self.append(FNV1a.hash(message), 8, to: &file)
        file += message
        return file
    }

    /// The model in `file`, which has been checked with ``validate()``. Any bytes may be given.
    public static func decode(_ file: [UInt8]) throws(ProxyError) -> Model {
        guard file.starts(with: magic) else { throw ProxyError("this is not a compiled Martlet configuration") }
        guard file.count >= headerSize else { throw ProxyError("the compiled configuration is cut short") }
        let found = number(file[6..<8])
        guard found == version else {
            throw ProxyError(
                "the compiled configuration has version \(found), this program reads version \(version): compile it "
                    + "with the martlet of the same release")
        }
        let message = file[headerSize...]
        guard number(file[8..<16]) == UInt64(message.count) else {
            throw ProxyError("the compiled configuration is cut short")
        }
        guard number(file[16..<24]) == FNV1a.hash(message) else {
            throw ProxyError("the compiled configuration is damaged: its checksum is wrong")
        }
        return try decode(message: message)
    }

    static func decode(message: ArraySlice<UInt8>) throws(ProxyError) -> Model {
        let protobuf: ProtoModel
        do {
            protobuf = try ProtoModel(serializedBytes: Array(message))
        } catch {
            throw ProxyError("the compiled configuration is damaged: \(error)")
        }
        let model = try Model(protobuf: protobuf)
        try model.validate()
        return model
    }

    private static func append(_ value: UInt64, _ count: UInt64, to file: inout [UInt8]) {
        for index in 0..<count { file.append(UInt8(truncatingIfNeeded: value >> (8 * (count - 1 - index)))) }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
}
