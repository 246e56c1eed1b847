using System.Buffers;
using System.Text;

namespace Grpc.Core;

public sealed partial class Metadata
{
    /// <summary>One key with its value, text or bytes.</summary>
    public class Entry
    {
        private static readonly SearchValues<char> KeyCharacters = SearchValues.Create("0123456789abcdefghijklmnopqrstuvwxyz-_.");

        private readonly string? _text;
        private readonly byte[]? _bytes;

        /// <summary>A binary entry.</summary>
        /// <exception cref="ArgumentException">The key does not end in <c>-bin</c> or holds a character that keys cannot.</exception>
        public Entry(string key, byte[] valueBytes)
        {
            ArgumentNullException.ThrowIfNull(valueBytes);
            Key = Normalize(key);
            _bytes = IsBinary
                ? [.. valueBytes]
                : throw new ArgumentException($"Metadata key '{Key}' has bytes as its value; such a key must end in '-bin'.", nameof(key));
        }

        /// <summary>A text entry.</summary>
        /// <exception cref="ArgumentException">The key ends in <c>-bin</c> or holds a character that keys cannot.</exception>
        public Entry(string key, string value)
        {
            ArgumentNullException.ThrowIfNull(value);
            Key = Normalize(key);
            _text = IsBinary
                ? throw new ArgumentException($"Metadata key '{Key}' ends in '-bin'; its value must be bytes.", nameof(key))
                : value;
        }

        public string Key { get; }

        public bool IsBinary => Key.EndsWith(BinaryHeaderSuffix, StringComparison.Ordinal);

        /// <summary>The text.</summary>
        /// <exception cref="InvalidOperationException">The entry is binary.</exception>
        public string Value => _text ?? throw new InvalidOperationException($"Metadata entry '{Key}' is binary; read ValueBytes.");

        /// <summary>A copy of the bytes; those of the text where the entry is not binary.</summary>
        public byte[] ValueBytes => _bytes is null ? Encoding.ASCII.GetBytes(_text!) : [.. _bytes]; // one of the two is always set

        /// <summary>The bytes themselves, for encoding without a copy.</summary>
        internal ReadOnlySpan<byte> RawBytes => _bytes;

        public override string ToString() => $"[Entry: key={Key}, value={_text ?? Convert.ToHexString(_bytes!)}]"; // one is always set

        /// <summary>Whether a header of this name, in lower case, can be metadata.</summary>
        internal static bool IsKey(string lower) => lower.Length > 0 && !lower.AsSpan().ContainsAnyExcept(KeyCharacters);

        internal bool HasKey(string key) => string.Equals(Key, key, StringComparison.OrdinalIgnoreCase);

        private static string Normalize(string key)
        {
            ArgumentException.ThrowIfNullOrEmpty(key);
            var lower = key.ToLowerInvariant();
            return IsKey(lower)
                ? lower
                : throw new ArgumentException($"Metadata key '{key}' may hold only letters, digits, '-', '_' and '.'.", nameof(key));
        }
    }
}
