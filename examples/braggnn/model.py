"""BraggNN: the sub-pixel centre of a Bragg peak from an 11x11 detector patch.

Liu et al., "BraggNN: fast X-ray Bragg peak analysis using deep learning",
IUCrJ 9 (2022), with its channel counts as multiples of a scale s. s=4 is the
published size, s=1 a network of 1/15 of the weights.
"""

from torch import nn

SLOPE = 0.01    # LeakyReLU, negative side


class NonLocal(nn.Module):
    """Self-attention over all pixels of a feature map [N, C, H, W], residual."""

    def __init__(self, channels, height, width):
        super().__init__()
        self.inner = channels // 2
        self.size = height, width
        self.theta = nn.Conv2d(channels, self.inner, 1)
        self.phi = nn.Conv2d(channels, self.inner, 1)
        self.g = nn.Conv2d(channels, self.inner, 1)
        self.out = nn.Conv2d(self.inner, channels, 1)

    def forward(self, x):
        flat = -1, self.inner, self.size[0] * self.size[1]          # [N, C/2, H*W]
        query = self.theta(x).reshape(flat).transpose(1, 2)         # [N, H*W, C/2]
        key = self.phi(x).reshape(flat)                             # [N, C/2, H*W]
        value = self.g(x).reshape(flat).transpose(1, 2)             # [N, H*W, C/2]
        attention = (query @ key).softmax(dim=-1)                   # rows sum to 1 over the keys
        mixed = (attention @ value).transpose(1, 2).reshape(-1, self.inner, *self.size)
        return x + self.out(mixed)


class BraggNN(nn.Module):
    """[N, 1, 11, 11] normalised patches -> [N, 2] centres, (column, row) / 11."""

    def __init__(self, scale=1):
        super().__init__()
        s = scale
        self.conv1 = nn.Conv2d(1, 16 * s, 3)                        # -> 9x9
        self.attention = NonLocal(16 * s, 9, 9)
        self.conv2 = nn.Conv2d(16 * s, 8 * s, 3)                    # -> 7x7
        self.conv3 = nn.Conv2d(8 * s, 2 * s, 3)                     # -> 5x5
        self.act = nn.LeakyReLU(SLOPE)
        widths = [50 * s, 16 * s, 8 * s, 4 * s, 2 * s]
        hidden = [(nn.Linear(a, b), nn.LeakyReLU(SLOPE)) for a, b in zip(widths, widths[1:])]
        self.dense = nn.Sequential(*sum(hidden, ()), nn.Linear(2 * s, 2))

    def forward(self, patch):
        x = self.act(self.attention(self.conv1(patch)))
        x = self.act(self.conv2(x))
        x = self.act(self.conv3(x))
        return self.dense(x.flatten(1))
