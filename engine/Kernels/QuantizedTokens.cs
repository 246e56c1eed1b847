using System.Runtime.Intrinsics;
using Distributed.Engine.Kernels.Emission;

namespace Distributed.Engine.Kernels;

/// <summary>
/// Several tokens at once against pairs of tiles: the sums of <see cref="QuantizedKernel"/> where arithmetic sets the pace, on AVX-512; up to eight tokens by emitted code, or four by
/// <see cref="QuantizedPairs{TFormat}"/>. Here is what lies around a pair: panels, the group tree, and where sums are between them.
/// </summary>
/// <remarks>
/// A <em>panel</em> is some blocks of these tokens, so few that they stay in the first-level cache while all rows of a call pass over them. The rows of a call stay in the second-level cache while
/// all tokens pass over them.
/// </remarks>
internal unsafe ref struct QuantizedTokens<TFormat>
    where TFormat : struct, IQuantizedFormat
{
    private const int LaneCount = 2 * QuantizedLayout.TileRowCount; // rows of a pair of tiles
    private const int MaxTokenCount = QuantizedCode.MaxTokenCount;
    private const int MaxPairCount = 16;
    private const int MaxLevelCount = 4; // of the group tree: eight groups
    private const int LevelLength = MaxPairCount * MaxTokenCount * LaneCount;
    private const int CachedByteCount = 384 << 10; // leaves room in a second-level cache of 512 KiB or more
    private const int EmittedPanelBlockCount = 256; // of all tokens: 10 KiB

    private readonly QuantizedWeights _weights;
    private readonly LinearInputs _inputs;
    private readonly QuantizedCode? _code;
    private readonly int _blockCount; // of a group
    private readonly byte* _panel; // without emitted code
    private readonly float* _sums; // [level, pair, token, lane]
    private int _firstTile;
    private int _tileCount;
    private int _firstToken;
    private int _tokenCount;

    /// <param name="weights">The matrix.</param>
    /// <param name="inputs">The activations.</param>
    /// <param name="code">What computes; <see langword="null"/> for <see cref="QuantizedPairs{TFormat}"/>.</param>
    /// <param name="scratch"><see cref="ScratchByteCount"/> bytes.</param>
    public QuantizedTokens(in QuantizedWeights weights, in LinearInputs inputs, QuantizedCode? code, byte* scratch)
    {
        _weights = weights;
        _inputs = inputs;
        _code = code;
        _blockCount = QuantizedLayout.BlockCount(weights.GroupLength);
        _sums = (float*)scratch;
        _panel = scratch + (MaxLevelCount * LevelLength * sizeof(float));
    }

    /// <summary>Bytes of memory that the constructor takes.</summary>
    public static int ScratchByteCount => (MaxLevelCount * LevelLength * sizeof(float)) + QuantizedPairs<TFormat>.PanelByteCount;

    /// <summary>Tokens that one call takes.</summary>
    public readonly int TokensAtOnce => _code is null ? QuantizedPairs<TFormat>.TokenCount : MaxTokenCount;

    /// <summary>Tiles that one call takes: as many as stay in the second-level cache.</summary>
    public readonly int TilesAtOnce => (int)Math.Clamp(CachedByteCount / (_weights.GroupCount * (nint)_blockCount * BlockByteCount), 2, 2 * MaxPairCount) & ~1;

    private static int BlockByteCount => QuantizedLayout.ScalesByteCount + TFormat.BlockByteCount;

    private readonly int SumsLength => _tokenCount * LaneCount; // of a pair of tiles

    /// <summary>Computes the sums of some tiles for some tokens.</summary>
    /// <param name="firstTile">The first tile.</param>
    /// <param name="tileCount">At most <see cref="TilesAtOnce"/>.</param>
    /// <param name="firstToken">The first of <see cref="TokensAtOnce"/> tokens, or of two at least that are left.</param>
    public void Compute(int firstTile, int tileCount, int firstToken)
    {
        (_firstTile, _tileCount, _firstToken) = (firstTile, tileCount, firstToken);
        _tokenCount = _code is null ? QuantizedPairs<TFormat>.TokenCount : Math.Min(MaxTokenCount, _inputs.TokenCount - firstToken);
        Sum(0, _weights.GroupCount, _sums);
        if (_code is null)
        {
            for (var sums = _sums; sums < _sums + ((tileCount + 1) / 2 * SumsLength); sums += LaneCount)
            {
                QuantizedPairs<TFormat>.Order(sums);
            }
        }
    }

    /// <summary>The sums of a tile's eight rows for one of the tokens.</summary>
    /// <param name="tile">Counted from the first tile of the call.</param>
    /// <param name="token">Counted from the first token of the call.</param>
    public readonly Vector256<float> Sums(int tile, int token)
        => Vector256.Load(_sums + (tile / 2 * SumsLength) + (token * LaneCount) + (tile % 2 * QuantizedLayout.TileRowCount));

    // The group tree: neighbours, then neighbours of those.
    private readonly void Sum(int firstGroup, int count, float* sums)
    {
        if (count == 1)
        {
            SumGroup(firstGroup, sums);
            return;
        }

        var right = sums + LevelLength;
        Sum(firstGroup, count / 2, sums);
        Sum(firstGroup + (count / 2), count / 2, right);
        for (var i = 0; i < (_tileCount + 1) / 2 * SumsLength; i += LaneCount)
        {
            (Vector512.Load(sums + i) + Vector512.Load(right + i)).Store(sums + i);
        }
    }

    private readonly void SumGroup(int group, float* sums)
    {
        new Span<float>(sums, (_tileCount + 1) / 2 * SumsLength).Clear();
        var panelBlockCount = _code is null ? QuantizedPairs<TFormat>.PanelBlockCount : EmittedPanelBlockCount / _tokenCount;
        for (var start = 0; start < _blockCount; start += panelBlockCount)
        {
            var first = (group * _blockCount) + start;
            var count = Math.Min(panelBlockCount, _blockCount - start);
            var tiles = (byte*)_weights.Data + (_firstTile * _weights.TileByteCount) + ((nint)first * BlockByteCount);
            if (_code is null)
            {
                AddPanel(tiles, first, count, sums);
            }
            else
            {
                AddEmitted(_code, tiles, first, count, sums);
            }
        }
    }

    private readonly void AddPanel(byte* tiles, int firstBlock, int blockCount, float* sums)
    {
        QuantizedPairs<TFormat>.Prepare(_inputs, _firstToken, firstBlock, blockCount, _panel);
        for (var tile = 0; tile < _tileCount; tile += 2, tiles += 2 * _weights.TileByteCount, sums += SumsLength)
        {
            // A last tile without a neighbour is its own.
            QuantizedPairs<TFormat>.Add(tiles, tile + 1 < _tileCount ? tiles + _weights.TileByteCount : tiles, _panel, blockCount, sums);
        }
    }

    // The first tokens to come to a pair of tiles ask for the next pair, so that memory is busy all the time.
    private readonly void AddEmitted(QuantizedCode code, byte* tiles, int firstBlock, int blockCount, float* sums)
    {
        var function = code.Function<TFormat>(_tokenCount, asksAhead: _firstToken == 0);
        var arguments = new QuantizedArguments
        {
            Weights = (nint)tiles + QuantizedLayout.ScalesByteCount,
            TileStride = _weights.TileByteCount,
            PairStride = 2 * _weights.TileByteCount,
            PairCount = _tileCount / 2,
            Inputs = (nint)_inputs.Token(_firstToken) + ((nint)firstBlock * QuantizedLayout.ActivationByteCount),
            TokenStride = _inputs.TokenStride * sizeof(float),
            BlockCount = blockCount,
            Sums = (nint)sums,
            Mask = QuantizedCode.Mask<TFormat>(),
        };
        if (arguments.PairCount > 0)
        {
            function(&arguments);
        }

        if (_tileCount % 2 != 0)
        {
            // It is its own neighbour.
            arguments.TileStride = 0;
            arguments.PairCount = 1;
            arguments.Sums = (nint)(sums + (_tileCount / 2 * SumsLength));
            function(&arguments);
        }
    }
}
