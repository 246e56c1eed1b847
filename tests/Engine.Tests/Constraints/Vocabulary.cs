using System.Collections.Concurrent;
using System.Text;
using Distributed.Engine.Constraints;
using Distributed.Engine.Sampling;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Constraints;

/// <summary>A tokenizer with what tests ask of it: its tokens' bytes, walks under a constraint, and texts cut at random.</summary>
internal sealed class Vocabulary
{
    private static readonly ConcurrentDictionary<string, Lazy<Vocabulary>> Known = new(StringComparer.Ordinal);

    private readonly byte[][] _bytes; // [id]
    private readonly ILookup<byte, int> _byFirst;

    public Vocabulary(Tokenizer tokenizer)
    {
        Tokenizer = tokenizer;
        Compiler = new ConstraintCompiler(tokenizer);
        Trie = new TokenTrie(tokenizer);
        _bytes = [.. Enumerable.Range(0, tokenizer.VocabularySize).Select(id => Trie.BytesOf(id).ToArray())];
        _byFirst = Enumerable.Range(0, _bytes.Length).Where(id => _bytes[id].Length > 0).ToLookup(id => _bytes[id][0]);
    }

    public Tokenizer Tokenizer { get; }

    public ConstraintCompiler Compiler { get; }

    public TokenTrie Trie { get; }

    public byte[] BytesOf(int id) => _bytes[id];

    /// <summary>One of the tests' vocabularies, each made once.</summary>
    public static Vocabulary Of(string name) => Known.GetOrAdd(name, name => new Lazy<Vocabulary>(() => new Vocabulary(name switch
    {
        "pieces" => PieceTokenizer.Json,
        "demo" => Tokenizer.Load(Path.Combine(Repository.DemoCheckpoint, "tokenizer.model")),
        "unigram" => Tokenizer.Load(Path.Combine(Repository.Root, "tests", "Engine.Tests", "References", "unigram", "bytes.model")),
        _ => throw new ArgumentOutOfRangeException(nameof(name)),
    }))).Value;

    /// <summary>The ids that a mask allows.</summary>
    public static List<int> Allowed(TokenConstraint constraint)
    {
        var mask = constraint.AllowedTokens();
        var ids = new List<int>();
        for (var id = 0; id < mask.Length * 64; id++)
        {
            if ((mask[id >> 6] >> (id & 63) & 1) != 0)
            {
                ids.Add(id);
            }
        }

        return ids;
    }

    /// <summary>
    /// Draws allowed tokens until the text may end and a coin says so. Towards the end tokens that close something are liked better; <see langword="null"/>
    /// where <paramref name="most"/> tokens were not enough.
    /// </summary>
    public string? Walk(TokenConstraint constraint, Random random, int most)
    {
        var text = new List<byte>();
        for (var count = 0; count < most; count++)
        {
            var allowed = Allowed(constraint);
            Assert.True(allowed.Count > 0 || constraint.CanEnd, $"A dead end behind: {Encoding.UTF8.GetString([.. text])}");
            if (constraint.CanEnd && (allowed.Count == 0 || random.Next(4) == 0))
            {
                return Encoding.UTF8.GetString([.. text]);
            }

            var liked = allowed.Where(id => _bytes[id][^1] is (byte)'}' or (byte)']' or (byte)'"' or (byte)':').ToList();
            var from = liked.Count > 0 && (count > most / 4 || random.Next(5) == 0) ? liked : allowed;
            var id = from[random.Next(from.Count)];
            text.AddRange(_bytes[id]);
            constraint.Accept(id);
        }

        return null;
    }

    /// <summary>Whether a text is accepted as a whole, cut into tokens at random; every token on the way must be in the mask.</summary>
    public bool Accepts(TokenConstraint constraint, string text, Random random)
    {
        var rest = Encoding.UTF8.GetBytes(text);
        while (rest.Length > 0)
        {
            var fitting = _byFirst[rest[0]].Where(id => rest.AsSpan().StartsWith(_bytes[id])).ToList();
            var id = fitting[random.Next(fitting.Count)];
            if (!Allowed(constraint).Contains(id))
            {
                Assert.Throws<ArgumentOutOfRangeException>(() => constraint.Accept(id));
                return false;
            }

            constraint.Accept(id);
            rest = rest[_bytes[id].Length..];
        }

        return constraint.CanEnd;
    }
}
