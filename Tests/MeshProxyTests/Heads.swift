import MeshCore
import MeshHTTP
import Testing

/// A request as the HTTP/1.1 parser makes it.
func request(
    _ path: String = "/", method: String = "GET", host: String = "shop.example", _ fields: [(String, String)] = []
) -> MessageHead {
    let head = MessageHead()
    var text = "\(method) \(path) HTTP/1.1\r\nHost: \(host)\r\n"
    for (name, value) in fields { text += "\(name): \(value)\r\n" }
    let bytes = Array((text + "\r\n").utf8)
    let result = HTTP1Parser.parseRequest(bytes.span, into: head, limits: HTTP1Limits())
    #expect(result == .complete(bytes.count))
    return head
}

/// A response with these fields, as an HTTP/2 endpoint sends it.
func response(_ status: Int, _ fields: [(String, String)] = []) -> MessageHead {
    let head = MessageHead()
    head.status = status
    for (name, value) in fields { head.append(name: Array(name.utf8).span, value: Array(value.utf8).span) }
    return head
}

func bytes(_ span: Span<UInt8>) -> [UInt8] { span.indices.map { span[$0] } }

func text(_ span: Span<UInt8>) -> String { String(decoding: bytes(span), as: UTF8.self) }

extension MessageHead {
    /// The values of all fields called `name`.
    func values(_ name: String) -> [String] {
        var values: [String] = []
        let bytes = Array(name.utf8)
        var index = firstIndex(named: bytes.span)
        while let found = index {
            values.append(text(span(self[found].valueRange)))
            index = firstIndex(named: bytes.span, from: found + 1)
        }
        return values
    }

    var methodText: String { text(span(methodRange)) }
    var protocolText: String { text(span(protocolRange)) }
}
