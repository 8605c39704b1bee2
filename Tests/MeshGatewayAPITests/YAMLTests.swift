import MeshCore
import MeshGatewayAPI
import Testing

/// Text that is not the YAML that is expected.
@Suite struct YAMLTests {
    @Test func syntaxErrorHasItsLine() throws {
        let translation = translate("apiVersion: v1\nkind: [Service\nmetadata: {}\n")
        let found = try #require(translation.diagnostics.first)
        #expect(found.place.line == 3)
        #expect(found.message.contains("not valid YAML"))
    }

    @Test func anUnquotedWildcardIsExplained() throws {
        let translation = translate(Fixture.gateway + Fixture.route("hostnames: [*.example.com]"))
        let found = try #require(translation.diagnostics.first { $0.message.contains("not valid YAML") })
        #expect(found.remedy.contains("needs quotes"))
    }

    @Test func aFieldGivenTwiceIsAnError() {
        let translation = translate("apiVersion: v1\nkind: Service\nkind: Secret\nmetadata: {name: a}\n")
        #expect(translation.errors.contains { $0.contains("\"kind\" is given twice") })
    }

    @Test func aBrokenFileHidesNothingOfTheOthers() {
        let translation = Translator.translate([
            SourceFile(path: "a.yaml", text: "a: ["), SourceFile(path: "b.yaml", text: Fixture.gateway + "  nope: 1\n"),
        ])
        #expect(translation.diagnostics.map(\.place.file) == ["a.yaml", "b.yaml"])
        #expect(translation.diagnostics.last?.place.fieldPath == "spec.nope")
    }

    @Test func aliasesAndMergeKeysAreExpanded() throws {
        let translation = translate(
            Fixture.gateway + Fixture.backends
                + Fixture.route(
                    """
                    rules:
                    - backendRefs:
                      - &cart {group: martlet.dev, kind: Backend, name: cart, weight: 3}
                    - matches: [{path: {value: /a}}]
                      backendRefs:
                      - *cart
                      - <<: *cart
                        weight: 5
                    """))
        let rule = try #require(translation.routes().first?.rules.last, "\(translation.lines)")
        #expect(rule.backends.map(\.weight) == [3, 5])
    }

    @Test(.timeLimit(.minutes(1))) func anAliasBombIsRefused() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...12 {
            let uses = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(uses)]\n"
        }
        #expect(translate(text).errors.contains { $0.contains("once aliases are expanded") })
    }

    @Test(
        .timeLimit(.minutes(1)),
        arguments: ["? *a12\n: b\n", "*a12 : b\n", "[*a12]: b\n", "{*a12 : b}: c\n", "x: {[*a12]\n: b}\n"])
    func anAliasBombInAKeyIsRefused(_ key: String) {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...12 {
            let uses = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(uses)]\n"
        }
        #expect(translate(text + key).errors.contains { $0.contains("keys must be plain strings") })
    }

    @Test func deepNestingIsRefused() {
        let deep = String(repeating: "[", count: 100) + String(repeating: "]", count: 100)
        #expect(translate("a: \(deep)").errors.contains { $0.contains("nested deeper") })
        #expect(translate(String(repeating: "[", count: 100_000)).model == nil)
        #expect(translate(String(repeating: "- ", count: 100_000)).model == nil)
        #expect(translate(String(repeating: "{a: ", count: 100_000)).model == nil)
    }

    @Test func aListKindIsItsItems() {
        let items = """
            apiVersion: v1
            kind: List
            items:
            - apiVersion: martlet.dev/v1alpha1
              kind: Backend
              metadata: {name: cart, namespace: shop}
              spec: {endpoints: [{unix: {path: /run/cart}}]}

            """
        let translation = translate(items + "---\n" + Fixture.gateway + Fixture.route(Fixture.toCart))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        #expect(translation.model?.backends.map(\.name) == ["shop/Backend/cart"])
    }

    /// Valid YAML with random edits: whatever comes out, it comes out.
    @Test(arguments: 0..<8) func mutationsNeverCrash(_ seed: Int) {
        var random = SplitMix(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 &+ 1)
        let valid = Array(
            (Fixture.gateway + Fixture.backends + Fixture.route(Fixture.toCart) + Examples.everything
                + (seed % 2 == 0 ? Examples.resilience : MeshResourceTests.everything)).utf8)
        let tokens = Examples.tokens.map { Array($0.utf8) }
        for _ in 0..<100 {
            var bytes = valid
            for _ in 0...Int.random(in: 0..<6, using: &random) {
                let at = Int.random(in: 0..<max(1, bytes.count), using: &random)
                switch Int.random(in: 0..<5, using: &random) {
                case 0: bytes[at] = UInt8.random(in: 0...127, using: &random)
                case 1: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1..<40, using: &random)))
                case 2:
                    let from = Int.random(in: 0..<bytes.count, using: &random)
                    bytes.insert(contentsOf: bytes[from..<min(bytes.count, from + 60)], at: at)
                default:
                    bytes.insert(contentsOf: tokens[Int.random(in: 0..<tokens.count, using: &random)], at: at)
                }
                if bytes.isEmpty { bytes = [0x0A] }
            }
            let translation = translate(String(decoding: bytes, as: UTF8.self))
            #expect(translation.model != nil || translation.hasErrors)
            #expect(!translation.diagnostics.contains { $0.message.contains("bug in martlet") }, "\(translation.lines)")
        }
    }
}

/// A generator with a seed.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
