import Testing

@testable import MeshControl

@Suite struct TextDiffTests {
    private static let head = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\n"

    private func shown(_ rest: String) -> String { TextDiff.withoutSecrets(Self.head + rest) }

    @Test func equalTextsHaveNoDifference() {
        #expect(TextDiff.unified("a\nb\n", "a\nb\n", name: "n") == "")
    }

    @Test func linesAreMarkedAndHaveTheirNeighbours() {
        let before = (1...20).map { "line \($0)" }.joined(separator: "\n") + "\n"
        let after = before.replacing("line 10\n", with: "changed\nadded\n")
        #expect(
            TextDiff.unified(before, after, name: "Service shop/a") == """
                --- Service shop/a
                +++ Service shop/a
                @@ line 7 @@
                 line 7
                 line 8
                 line 9
                -line 10
                +changed
                +added
                 line 11
                 line 12
                 line 13

                """)
    }

    @Test func twoPlacesAreTwoPieces() {
        let before = (1...40).map { "\($0)" }.joined(separator: "\n") + "\n"
        let diff = TextDiff.unified(before, "first\n" + before + "last\n", name: "n")
        #expect(diff.split(separator: "\n").filter { $0.hasPrefix("@@") }.count == 2)
        #expect(diff.split(separator: "\n").filter { $0.hasPrefix("+") } == ["+++ n", "+first", "+last"])
    }

    @Test func whatIsCreatedIsAdded() {
        #expect(TextDiff.unified("", "a\nb\n", name: "n") == "--- n\n+++ n\n@@ line 1 @@\n+a\n+b\n")
    }

    @Test func valuesOfASecretAreNotShownAndItsNamesAre() {
        let text = shown(
            """
            type: Opaque
            data:
              # hunter2
              user: aHVudGVyMg==
              "password": "hunter2"
            stringData:
              file: |
                hunter2: yes
              folded:
                hunter2

              other: hunter2
            immutable: true

            """)
        #expect(!text.contains("hunter2") && !text.contains("aHVud"))
        #expect(
            text
                == Self.head
                    + """
                    type: Opaque
                    data:
                      user: (secret)
                      "password": (secret)
                    stringData:
                      file: (secret)
                      folded: (secret)
                      other: (secret)
                    immutable: true

                    """)
    }

    /// YAML may be written in many ways: none of them brings a secret to light.
    @Test(arguments: [
        "stringData: {password: hunter2}\n",
        "stringData: {password:\n  hunter2, user: bob}\n",
        "stringData: {password: 'x\n  hunter2: y'}\n",
        "stringData:\n  password: \"x\n  hunter2: y\"\n",
        "stringData:\n  password: \"x\nhunter2: y\"\n",
        "stringData :\n  password: hunter2\n",
        "? stringData\n: password: hunter2\n",
        "!!str stringData:\n  password: hunter2\n",
        "&a stringData:\n  password: hunter2\n",
        "\"string\\\n  Data\":\n  password: hunter2\n",
        "stringData: &all\n  password: hunter2\nmore: *all\n",
        "stringData:\n  password: &one hunter2\ntype: *one\n",
    ])
    func noOtherWayOfWritingShowsThem(rest: String) {
        let text = shown(rest)
        #expect(!text.contains("hunter2") && !text.contains("bob"), "\(text)")
        #expect(text.contains("(secret)") || text.hasPrefix("# not shown"), "\(text)")
    }

    @Test func aSecretInBracesIsNotShown() {
        let text = TextDiff.withoutSecrets(
            "{apiVersion: v1,\nkind: Secret, metadata: {name: db}, stringData: {password: hunter2}}\n")
        #expect(!text.contains("hunter2"))
    }
}
