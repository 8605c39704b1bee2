import Testing

@testable import MeshGatewayAPI

@Suite struct ParsedTextsTests {
    private func files(_ second: String) -> [SourceFile] {
        [SourceFile(path: "a.yaml", text: service("a")), SourceFile(path: "b.yaml", text: second)]
    }

    private func service(_ name: String, port: String = "80") -> String {
        "apiVersion: v1\nkind: Service\nmetadata: {name: \(name)}\nspec: {ports: [{port: \(port)}]}\n"
    }

    private func translate(_ files: [SourceFile], _ texts: ParsedTexts? = nil) -> Translation {
        Translator.translate(files, for: .controlPlane(trustDomain: nil), reusing: texts)
    }

    @Test func translatesAsIfEverythingWasReadAnew() {
        let texts = ParsedTexts()
        for text in [service("b"), service("b", port: "81"), service("c"), service("b")] {
            let (reused, anew) = (translate(files(text), texts), translate(files(text)))
            #expect(!anew.resources.isEmpty)
            #expect(reused.resources == anew.resources)
            #expect(reused.diagnostics == anew.diagnostics)
        }
    }

    @Test func keepsTheTextsOfTheLastConfigurationOnly() {
        let texts = ParsedTexts()
        _ = translate(files(service("b")), texts)
        _ = translate(files(service("c")), texts)
        #expect(Set(texts.nodes.keys) == [service("a"), service("c")])
    }

    @Test func knowsATextThatStoodFurtherDownBefore() {
        let texts = ParsedTexts()
        _ = translate([SourceFile(path: "b.yaml", text: "\n\n" + service("c"))], texts)
        #expect(Set(texts.nodes.keys) == [service("c")])
        let again = [SourceFile(path: "c", text: service("c"))]
        #expect(translate(again, texts).resources == translate(again).resources)
        var reader = YAMLReader(file: "c", report: Report())
        let anew = reader.documents(service("c"))
        #expect(texts.nodes[service("c")].map { "\($0)" } == "\(anew)")
    }

    @Test func saysAgainWhatIsWrong() {
        let texts = ParsedTexts()
        _ = translate(files(service("b")), texts)
        for wrong in ["a: [", service("b", port: "many"), service("a")] {
            for _ in 1...2 {
                let found = translate(files(wrong), texts).diagnostics
                #expect(!found.isEmpty)
                #expect(found == translate(files(wrong)).diagnostics)
            }
        }
    }

    @Test func tellsFilesWithOneTextApart() {
        let twice = ["a.yaml", "b.yaml"].map { SourceFile(path: $0, text: service("a")) }
        let texts = ParsedTexts()
        for _ in 1...2 { #expect(translate(twice, texts).diagnostics.first?.place.file == "b.yaml") }
    }

    @Test func aKeyIsGivenOnceHoweverItIsWritten() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {1: a, \"1\": b}\n"
        #expect(translate([SourceFile(path: "a.yaml", text: text)]).diagnostics.contains { $0.severity == .error })
    }
}
