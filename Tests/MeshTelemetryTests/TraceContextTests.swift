import MeshCore
import MeshHTTP
import MeshModel
import Testing

@testable import MeshTelemetry

@Suite struct TraceContextTests {
    private static let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    private func fields(_ head: MessageHead) -> [String] {
        (0..<head.fieldCount).filter { head[$0].name != .removed }.map { index in
            let (name, value) = (head.span(head[index].nameRange), head.span(head[index].valueRange))
            return String(decoding: (0..<name.count).map { name[$0] }, as: UTF8.self) + ": "
                + String(decoding: (0..<value.count).map { value[$0] }, as: UTF8.self)
        }
    }

    @Test func aValidContextIsRead() throws {
        let read = TraceContext(bytes(Self.valid).span)
        let context = try #require(read)
        #expect(context.traceHigh == 0x0af7_6519_16cd_43dd)
        #expect(context.traceLow == 0x8448_eb21_1c80_319c)
        #expect(context.span == 0xb7ad_6b71_6920_3331)
        #expect(context.isSampled)
        #expect(TraceContext(bytes(Self.valid.dropLast(2) + "00").span)?.isSampled == false)
    }

    @Test(arguments: [
        (valid, true), ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", true),
        ("00-00000000000000000000000000000001-b7ad6b7169203331-01", true),
        ("00-00000000000000010000000000000000-0000000000000001-01", true),
        // Later versions may go on behind a dash (§4.3).
        ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
        ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what", true),
        ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what", false),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what", false),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
        ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
        ("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
        ("00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01", false),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", false),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x", false),
        ("00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
        ("00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01", false),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01", false),
        ("0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
        (".0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false), ("", false), ("00", false),
    ])
    func onlyValidContextsAreRead(value: String, isValid: Bool) {
        #expect((TraceContext(bytes(value).span) != nil) == isValid)
    }

    @Test func severalContextsAreNone() {
        let head = requestHead(
            "GET", "h", "/", [("traceparent", bytes(Self.valid)), ("TraceParent", bytes(Self.valid))])
        #expect(TraceContext(head) == nil)
        #expect(TraceContext(requestHead()) == nil)
    }

    @Test func whatIsWrittenIsReadAgain() {
        var random = Random(seed: 9)
        let root = TraceContext(sampled: true, random: &random)
        let child = root.child(random: &random)
        #expect(child.traceHigh == root.traceHigh && child.traceLow == root.traceLow && child.span != root.span)
        let head = requestHead("GET", "h", "/", [("traceparent", bytes("junk")), ("tracestate", bytes("a=b"))])
        child.write(into: head)
        #expect(TraceContext(head) == child)
        #expect(fields(head).count == 2)
        #expect(TraceContext(sampled: false, random: &random).isSampled == false)
    }

    @Test func flagsThatVersion00DoesNotKnowAreNotSent() throws {
        let head = requestHead()
        let context = TraceContext(bytes(Self.valid.dropLast(2) + "ff").span)
        try #require(context).write(into: head)
        #expect(fields(head) == ["traceparent: \(Self.valid)"])
    }

    @Test(
        arguments: [
            (TracePolicy.keep, [("traceparent", valid), ("tracestate", "a=b")], true),
            (.drop, [("traceparent", valid), ("tracestate", "a=b")], false),
            (.keep, [("traceparent", "junk"), ("tracestate", "a=b")], false),
            (.keep, [("traceparent", valid), ("traceparent", valid)], false),
            (.keep, [("tracestate", "a=b")], false), (.drop, [("tracestate", "a=b")], false), (.keep, [], false),
        ] as [(TracePolicy, [(String, String)], Bool)])
    func aClientsContextIsKeptOrRemovedAsAWhole(policy: TracePolicy, sent: [(String, String)], isKept: Bool) {
        let head = requestHead("GET", "h", "/", [("accept", bytes("*/*"))] + sent.map { ($0.0, bytes($0.1)) })
        TraceContext.apply(policy, to: head)
        let wanted = ["accept: */*"] + (isKept ? sent.map { "\($0.0): \($0.1)" } : [])
        #expect(fields(head) == wanted)
    }

    @Test func strangersDoNotChooseTraces() {
        #expect(TracePolicy(.edge) == .drop)
        #expect(TracePolicy(.sidecar) == .keep)
    }
}
